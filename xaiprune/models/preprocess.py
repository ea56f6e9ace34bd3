"""What a network expects of its images, from timm's own data configuration, and how many outputs it has."""

import torch
from timm.data import resolve_data_config
from torch import nn

from xaiprune.data import Preprocess
from xaiprune.forward import logits_of


def preprocess(model: nn.Module) -> Preprocess:
    """The evaluation preprocessing of a network.

    Args:
        model: A timm network; another one gets timm's defaults (224 pixels, ImageNet's statistics).

    Returns:
        What `xaiprune.data.load` needs; ``data.*`` of the configuration overrides parts of it.
    """
    config = resolve_data_config(model=model, verbose=False)
    size = config["input_size"][1:]
    # A vision transformer built for another size (kwargs.img_size) accepts only that one.
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if built_for is not None:
        size = built_for
    return Preprocess(
        size=(int(size[0]), int(size[1])),
        crop_pct=float(config["crop_pct"]),
        interpolation=str(config["interpolation"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop_mode=str(config["crop_mode"]),
    )


def outputs(model: nn.Module, example: torch.Tensor | None = None) -> int | None:
    """How many outputs a network has; None if that is not known.

    Args:
        model: timm's networks say it.
        example: (N, channels, H, W); another network is run on them, in eval mode.
    """
    found = getattr(model, "num_classes", None)
    if isinstance(found, int):
        return found
    if example is None:
        return None
    with torch.inference_mode():
        return int(logits_of(model.eval()(example)).shape[-1])
