"""What a data source is, and what it gives: pictures with a class each, not yet decoded."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image

from xaiprune.config import DataConfig
from xaiprune.registry import SOURCES

Part = Literal["train", "reference", "validation", "test"]


@dataclass(frozen=True)
class Picture:
    """One picture of a source.

    Attributes:
        file: Its path relative to the source's root, or another unique name.
        label: Index into the source's classes; `xaiprune.data.UNLABELLED` if its class is not known.
        part: The part that the source itself puts it in; None if the source has no parts.
        stamp: Changes whenever the picture does: size and time of the file.
    """

    file: str
    label: int
    part: Part | None
    stamp: str


@dataclass(frozen=True)
class Source:
    """Pictures of some classes.

    Attributes:
        name: For messages, and for the cache of decoded images: the folder, or ``digits``.
        classes: Class names in label order.
        pictures: All of them, in a fixed order.
        open: Decodes one to RGB; raises ``OSError`` if it cannot.
        root: Folder that the pictures' names are relative to; None: they are no files of their own.
    """

    name: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    open: Callable[[Picture], Image.Image]
    root: Path | None = None


class DataSource(ABC):
    """What ``data.source`` names. A new one is a subclass, registered by `xaiprune.registry.register_source`.

        @register_source("my_photos")
        class MyPhotos(DataSource):
            text = "photographs of my lab"

            @staticmethod
            def open(config: DataConfig) -> Source:
                ...

    Attributes:
        text: What it is, in a line.
        needs_root: Whether ``data.root`` must be set.
        mirrors: Whether a mirrored picture still shows its class, so that training may mirror.
        needs_path: Whether ``data.path`` must be set.
        of_text: Whether it has texts in place of pictures (`xaiprune.data.text_source.TextSource`).
    """

    text: ClassVar[str] = ""
    needs_root: ClassVar[bool] = True
    mirrors: ClassVar[bool] = True
    needs_path: ClassVar[bool] = False
    of_text: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def open(config: DataConfig) -> Source:
        """List the pictures.

        Args:
            config: The ``data`` section; a source usually needs only ``root``.

        Raises:
            XaipruneError: The pictures are not there, or not as the source expects them.
        """


def source_of(config: DataConfig) -> type[DataSource]:
    """The data source that a configuration names.

    Raises:
        XaipruneError: There is none of that name.
    """
    found: type[DataSource] = SOURCES.find(config.source, "data.source")
    return found
