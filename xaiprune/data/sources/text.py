"""A file of plain text, which language models read in windows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from xaiprune.config import DataConfig
from xaiprune.data.dataset import Dataset
from xaiprune.data.source import DataSource, Source
from xaiprune.data.text import text_dataset
from xaiprune.errors import XaipruneError
from xaiprune.registry import register_source


@register_source("text")
class Text(DataSource):
    """It has no pictures: `load_text` reads it, once there is a tokenizer."""

    text = "a file of plain text, for language models (model=hf)"
    needs_root = False

    @staticmethod
    def open(config: DataConfig) -> Source:
        """There are no pictures.

        Raises:
            XaipruneError: Always.
        """
        raise XaipruneError("data=text has no pictures; it is for language models (model=hf model.path=...)")


def load_text(
    config: DataConfig,
    encode: Callable[[str], Sequence[int]],
    vocabulary: int,
    context: int | None = None,
) -> Dataset:
    """Read a file and cut it into windows (`xaiprune.data.text_dataset`).

    Args:
        config: The ``data`` section.
        encode: Text to ids, without special tokens.
        vocabulary: Tokens that the network tells apart.
        context: Tokens that the network can read at once; None: any number.

    Raises:
        XaipruneError: The file cannot be read as text, is empty or too short, or a window is too long for
            the network.
    """
    assert config.path is not None, "checked with the configuration"
    if context is not None and config.window > context:
        raise XaipruneError(
            f"data.window={config.window} is longer than the network reads ({context} tokens); lower it"
        )
    try:
        text = Path(config.path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise XaipruneError(f"data.path: {config.path} cannot be read as text (UTF-8): {error}") from error
    if not text.strip():
        raise XaipruneError(f"data.path: {config.path} is empty; give a file with text in it")
    limits = {
        "reference": config.reference_windows,
        "validation": config.validation_windows,
        "test": config.test_windows,
    }
    ids = torch.tensor(encode(text), dtype=torch.int64)
    return text_dataset(ids, config.window, vocabulary, limits=limits, name=f"data.path: {config.path}")
