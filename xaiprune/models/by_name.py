"""Networks and their images for notebooks: by name and file, without a configuration."""

from pathlib import Path
from typing import Any

from torch import nn

from xaiprune.config import DataConfig, ModelConfig, checked_section
from xaiprune.data import Dataset, TrainingData
from xaiprune.data import load as read
from xaiprune.data import load_training as read_training
from xaiprune.models.load import load
from xaiprune.models.preprocess import outputs, preprocess


def load_model(
    name: str, *, checkpoint: str | Path | None = None, pretrained: bool | None = None, **kwargs: Any
) -> nn.Module:
    """A timm classifier or one of the digits networks, float32, in eval mode, on the CPU.

    Args:
        name: timm's name, or ``digits_vgg``, ``digits_resnet``, ``digits_vit``.
        checkpoint: Weights (safetensors, or torch opened with ``weights_only``).
        pretrained: Take timm's weights from the hub; None: unless there is a checkpoint. False: random
            weights.
        kwargs: Further arguments of ``timm.create_model`` (``num_classes=10``).

    Raises:
        XaipruneError: Unknown name, or weights that cannot be loaded.
    """
    file = None if checkpoint is None else str(checkpoint)
    return load(ModelConfig(name=name, checkpoint=file, pretrained=pretrained, kwargs=kwargs))


def load_data(source: str, model: nn.Module, **settings: Any) -> Dataset:
    """Images as a network wants them: reference, validation and test split, and the task.

    Args:
        source: ``digits``, ``image_folder``, ``imagenet``, or one that you have registered.
        model: The network that they are for. timm's networks say how large and how normalised; for any other,
            give ``image_size``, ``mean`` and ``std``.
        settings: Further keys of the ``data`` section (``root="photos"``, ``reference_per_class=5``).

    Raises:
        XaipruneError: Unknown key, a value out of range, or images that do not fit the network.

    Example:
        >>> model = load_model("digits_resnet")
        >>> data = load_data("digits", model, reference_per_class=5)
        >>> len(data.reference), data.task.classes[:3]
        (50, ('0', '1', '2'))
    """
    return read(_section(source, settings), preprocess(model), outputs(model))


def load_training_data(source: str, model: nn.Module, **settings: Any) -> TrainingData:
    """The same source for training: everything that is in neither validation nor test.

    Args:
        source: As `load_data`.
        model: As `load_data`.
        settings: As `load_data`.

    Raises:
        XaipruneError: As `load_data`.
    """
    return read_training(_section(source, settings), preprocess(model), outputs(model))


def _section(source: str, settings: dict[str, Any]) -> DataConfig:
    roots = {key: str(value) for key, value in settings.items() if key.endswith("root") and value is not None}
    return checked_section(DataConfig, "data", {**settings, **roots, "source": source})
