"""A network and its images, opened together: the network decides the preprocessing, both the task."""

from dataclasses import dataclass

import torch
from torch import nn

from xaiprune.config import DataConfig, ModelConfig, is_language
from xaiprune.data import Dataset, Preprocess, TextSource
from xaiprune.data import load as load_data
from xaiprune.data.source import source_of
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs
from xaiprune.models.device import resolve_device
from xaiprune.models.language import LanguageModel, open_language_model
from xaiprune.models.load import language_path, load
from xaiprune.models.preprocess import outputs, preprocess


@dataclass(frozen=True, repr=False)
class Setup:
    """A network with its images: what every task that computes starts from.

    Attributes:
        model: On ``device``, in eval mode.
        data: Splits and task.
        preprocess: As used for the images; None: text.
        device: Of the model.
    """

    model: nn.Module
    data: Dataset
    preprocess: Preprocess | None
    device: torch.device

    def __repr__(self) -> str:
        return f"Setup({type(self.model).__name__} on {self.device}, {self.data})"

    def example(self, count: int = 1) -> Inputs:
        """The first images, (count, 3, H, W), or texts, on the device.

        Of the reference, where there is any.
        """
        splits = (self.data.reference, self.data.validation, self.data.test)
        images = next((split for split in splits if len(split)), self.data.reference)
        return images.inputs(slice(0, count), self.device)


def setup(
    model: ModelConfig, data: DataConfig, *, device: str = "auto", network: nn.Module | None = None
) -> Setup:
    """Open network and images, and check that they fit.

    Args:
        model: The ``model`` section.
        data: The ``data`` section.
        device: As `resolve_device` takes it.
        network: A network to use as it is, for example a pruned one; ``model`` has no effect then.

    Raises:
        XaipruneError: As `load` and `xaiprune.data.load`.
    """
    where, source = resolve_device(device), source_of(data)
    if issubclass(source, TextSource):
        language = open_language_model(language_path(model, cache=data.cache_dir))
        text = read_text(data, language)
        opened = language.model if network is None else network.eval()
        return Setup(opened.to(where), text, None, where)
    if is_language(model) and network is None:
        raise XaipruneError(
            f"model={model.name} reads text: set data=text data.path=FILE, or data=python_help"
        )
    opened = load(model, cache=data.cache_dir) if network is None else network.eval()
    wanted = preprocess(opened)
    dataset = load_data(data, wanted, outputs(opened))
    return Setup(opened.to(where), dataset, wanted.override(data), where)


def read_text(data: DataConfig, language: LanguageModel) -> Dataset:
    """The splits of a source of text, for a model that has the head for it.

    Raises:
        XaipruneError: The source has no texts, the model has another head, or as `TextSource.read`.
    """
    source = source_of(data)
    if not issubclass(source, TextSource):
        raise XaipruneError(f"data={data.source} has no text; set data=text data.path=FILE")
    if language.head == "encoder_decoder":
        raise XaipruneError(
            f"there is no data source for encoder-decoders, as {language.name} "
            f"({type(language.model).__name__}) is one; prune it from Python (docs/language-pruning.md)"
        )
    if language.head != source.head:
        raise XaipruneError(
            f"data={data.source} is for {source.for_models}; {language.name} is "
            f"{type(language.model).__name__}"
        )
    return source.read(data, language)
