"""The unit counts of the papers, and those of every network of the list. Networks live on the meta device."""

import pytest
import timm
import torch
import torchvision

from xaiprune.units import find_units


def build(library, name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name) if library == "torchvision" else timm.create_model(name)
    return model.eval()


# library, name, kind, units, of them removable alone
COUNTS = [
    ("torchvision", "vgg16", "filters", 4224, 4224),
    ("torchvision", "vgg16_bn", "filters", 4224, 4224),
    ("torchvision", "resnet18", "filters", 4800, 1920),
    ("torchvision", "resnet50", "filters", 26560, 7616),
    ("torchvision", "vit_b_16", "heads", 144, 144),
    ("torchvision", "vit_b_16", "neurons", 36864, 36864),
    ("torchvision", "vit_b_16", "linear_outputs", 46080, 36864),
    ("timm", "resnet18", "inner_filters", 1920, 1920),
    # timm's VGG has its classifier's hidden layers as convolutions: 2 x 4096 more than the papers count.
    ("timm", "vgg16", "filters", 4224 + 2 * 4096, 4224 + 2 * 4096),
    ("timm", "resnetv2_50", "inner_filters", 7616, 7616),
    ("timm", "resnext50_32x4d", "inner_filters", 64, 64),
    ("timm", "densenet121", "filters", 10240, 10240),
    ("timm", "efficientnet_b0", "inner_filters", 10956, 10956),
    ("timm", "mobilenetv3_large_100", "inner_filters", 8264, 8264),
    ("timm", "convnext_atto", "inner_filters", 7360, 7360),
    ("timm", "regnety_002", "inner_filters", 764, 764),
    ("timm", "vit_tiny_patch16_224", "heads", 36, 36),
    ("timm", "vit_tiny_patch16_224", "neurons", 9216, 9216),
    ("timm", "vit_tiny_patch16_224", "neurons+heads", 9252, 9252),
    ("timm", "vit_tiny_patch16_224", "linear_outputs", 11520, 9216),
    ("timm", "deit_tiny_distilled_patch16_224", "linear_outputs", 11520, 9216),
    ("timm", "cait_xxs24_224", "heads", 104, 8),  # talking heads read one another
    ("timm", "cait_xxs24_224", "neurons", 19968, 19968),
    ("timm", "swin_tiny_patch4_window7_224", "heads", 138, 138),
    ("timm", "swin_tiny_patch4_window7_224", "neurons", 17664, 17664),
    ("timm", "mixer_s32_224", "neurons", 18432, 18432),
]


@pytest.mark.parametrize(("library", "name", "kind", "units", "removable"), COUNTS)
def test_counts(library, name, kind, units, removable):
    layers = find_units(build(library, name), kind)
    assert sum(layer.units for layer in layers) == units
    assert sum(layer.units for layer in layers if layer.removable) == removable
    assert len({layer.name for layer in layers}) == len(layers)


def test_papers_vgg_of_timm_by_pattern():
    layers = find_units(build("timm", "vgg16"), "filters", exclude=["pre_logits.*"])
    assert sum(layer.units for layer in layers) == 4224
