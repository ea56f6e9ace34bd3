"""Networks for notebooks: by name and file, without a configuration."""

from pathlib import Path
from typing import Any

from torch import nn

from xaiprune.config import ModelConfig
from xaiprune.models.load import load


def load_model(
    name: str, *, checkpoint: str | Path | None = None, pretrained: bool = False, **kwargs: Any
) -> nn.Module:
    """A timm classifier or one of the digits networks, float32, in eval mode, on the CPU.

    Args:
        name: timm's name, or ``digits_vgg``, ``digits_resnet``, ``digits_vit``.
        checkpoint: Weights (safetensors, or torch opened with ``weights_only``).
        pretrained: Take timm's weights from the hub.
        kwargs: Further arguments of ``timm.create_model`` (``num_classes=10``).

    Raises:
        XaipruneError: Unknown name, or weights that cannot be had or do not fit.
    """
    file = None if checkpoint is None else str(checkpoint)
    return load(ModelConfig(name=name, checkpoint=file, pretrained=pretrained, kwargs=kwargs))
