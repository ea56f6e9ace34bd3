"""What a network expects of its images, from timm's own data configuration, and how many outputs it has."""

import torch
from timm.data import resolve_data_config
from torch import nn

from xaiprune.data import Preprocess
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, input_channels, logits


def preprocess(model: nn.Module) -> Preprocess:
    """The evaluation preprocessing of a network.

    Args:
        model: A timm network; another one gets timm's defaults (224 pixels, ImageNet's statistics).

    Returns:
        What `xaiprune.data.load` needs; ``data.*`` of the configuration overrides parts of it.

    Raises:
        XaipruneError: The network reads neither coloured nor grey pictures.
    """
    config = resolve_data_config(model=model, verbose=False)
    size = config["input_size"][1:]
    # A vision transformer built for another size (kwargs.img_size) accepts only that one.
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if built_for is not None:
        size = built_for
    height, width = int(size[0]), int(size[1])
    channels = input_channels(model, height, width)
    if channels not in (1, 3):
        raise XaipruneError(
            f"{type(model).__name__} reads images of {channels} channels, pictures have 3 (or 1, if it reads "
            "grey ones); set model.kwargs.in_chans, or give tensors to xaiprune.prune in Python"
        )
    return Preprocess(
        size=(height, width),
        crop_pct=float(config["crop_pct"]),
        interpolation=str(config["interpolation"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop_mode=str(config["crop_mode"]),
        channels=channels,
    )


def outputs(model: nn.Module, example: Inputs | None = None) -> int | None:
    """How many outputs a network has; None if that is not known.

    Args:
        model: timm's networks say it.
        example: (N, channels, H, W), or texts; another network is run on them, in eval mode.
    """
    found = getattr(model, "num_classes", None)
    if isinstance(found, int):
        return found
    if example is None:
        return None
    with torch.inference_mode():
        return int(logits(model.eval(), example).shape[-1])
