"""How many channels a network's images have is found, not assumed."""

import pytest
import timm
import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import input_channels
from xaiprune.models import preprocess
from xaiprune.units import default_example, find_units


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "tresnet_m", "ghostnet_050", "test_mambaout"])
def test_timms_networks(name, channels):
    model = timm.create_model(name, num_classes=5, in_chans=channels).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert default_example(model).shape[1] == channels
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    if channels == 4:
        with pytest.raises(XaipruneError, match="reads images of 4 channels"):
            preprocess(model)
    else:
        assert preprocess(model).channels == channels


def test_a_network_that_does_not_run_is_not_refused_for_its_channels():
    assert input_channels(nn.Sequential(nn.Conv2d(5, 2, 3), nn.Linear(7, 2)), 32, 32) == 3


def test_units_are_found_without_an_example():
    model = timm.create_model("test_resnet", num_classes=5, in_chans=1).eval()
    assert find_units(model, "inner_filters")
