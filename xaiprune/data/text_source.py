"""Data sources of text, which need a language model's tokenizer before there is anything to split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from torch import Tensor

from xaiprune.config import DataConfig
from xaiprune.data.dataset import Dataset
from xaiprune.data.source import DataSource, Source
from xaiprune.errors import XaipruneError


class Reader(Protocol):
    """What a source has to know of a language model (`xaiprune.models.LanguageModel`)."""

    @property
    def name(self) -> str:
        """Of the model, for messages."""

    @property
    def context(self) -> int | None:
        """How many tokens it can read at once; None: any number."""

    @property
    def outputs(self) -> int:
        """How many tokens it tells apart."""

    def all_ids(self, text: str) -> list[int]:
        """The ids of a text of any length, without special tokens."""

    @property
    def classes(self) -> Sequence[str]:
        """A classifier's classes, in the order of its outputs."""

    def padded(self, texts: Sequence[str], longest: int) -> dict[str, Tensor]:
        """Texts as the network takes them, cut to ``longest`` tokens and padded to the longest."""


class TextSource(DataSource):
    """What ``data.source`` names, where it has texts.

    Attributes:
        head: The head (`xaiprune.models.LanguageModel`) of the models that read it.
        for_models: These models, in words.
    """

    needs_root: ClassVar[bool] = False
    of_text: ClassVar[bool] = True
    head: ClassVar[str] = "causal"
    for_models: ClassVar[str] = "models that foretell the next token"

    @classmethod
    @abstractmethod
    def read(cls, config: DataConfig, reader: Reader) -> Dataset:
        """Reference, validation and test split, which share nothing.

        Args:
            config: The ``data`` section.
            reader: The model that they are for.

        Raises:
            XaipruneError: The text cannot be read, or there is too little of it.
        """

    @staticmethod
    def open(config: DataConfig) -> Source:
        """There are no pictures.

        Raises:
            XaipruneError: Always.
        """
        raise XaipruneError(
            f"data={config.source} has no pictures; it is for language models (model=hf model.path=FOLDER)"
        )


def file_of_text(config: DataConfig) -> str:
    """What stands in ``data.path``.

    Raises:
        XaipruneError: It cannot be read as text, or is empty.
    """
    assert config.path is not None, "checked with the configuration"
    try:
        text = Path(config.path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise XaipruneError(f"data.path: {config.path} cannot be read as text (UTF-8): {error}") from error
    if not text.strip():
        raise XaipruneError(f"data.path: {config.path} is empty; give a file with text in it")
    return text


def window_limits(config: DataConfig) -> Mapping[str, int | None]:
    """Part -> how many of its windows are taken; None: all."""
    return {
        "reference": config.reference_windows,
        "validation": config.validation_windows,
        "test": config.test_windows,
    }


def check_window(config: DataConfig, reader: Reader) -> None:
    """Refuse windows that the model cannot read.

    Raises:
        XaipruneError: Says how many tokens it reads.
    """
    if reader.context is not None and config.window > reader.context:
        raise XaipruneError(
            f"data.window={config.window} is longer than the network reads ({reader.context} tokens); "
            "lower it"
        )
