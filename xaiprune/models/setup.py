"""A network and its images, opened together: the network decides the preprocessing, both the task."""

from dataclasses import dataclass

import torch
from torch import nn

from xaiprune.config import HUGGING_FACE, TEXT, DataConfig, ModelConfig
from xaiprune.data import Dataset, Preprocess, load_text
from xaiprune.data import load as load_data
from xaiprune.errors import XaipruneError
from xaiprune.models.device import resolve_device
from xaiprune.models.language import open_language_model
from xaiprune.models.load import load, required_path
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

    def example(self, count: int = 1) -> torch.Tensor:
        """The first images, (count, 3, H, W), or windows of text, on the device.

        Of the reference, where there is any.
        """
        splits = (self.data.reference, self.data.validation, self.data.test)
        images = next((split for split in splits if len(split)), self.data.reference)
        return images.tensor(slice(0, count), self.device)


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
    where = resolve_device(device)
    if data.source == TEXT:
        language = open_language_model(required_path(model))
        if language.head != "causal":
            raise XaipruneError(
                f"data=text is for models that foretell the next token; {language.name} is "
                f"{type(language.model).__name__}"
            )
        text = load_text(data, language.all_ids, language.outputs, language.context)
        opened = language.model if network is None else network.eval()
        return Setup(opened.to(where), text, None, where)
    if model.name == HUGGING_FACE and network is None:
        raise XaipruneError("model=hf reads text: set data=text data.path=FILE")
    opened = load(model, cache=data.cache_dir) if network is None else network.eval()
    wanted = preprocess(opened)
    dataset = load_data(data, wanted, outputs(opened))
    return Setup(opened.to(where), dataset, wanted.override(data), where)
