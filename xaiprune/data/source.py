"""What a data source is: pictures with a class each, not yet decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL import Image

Part = Literal["train", "reference", "validation", "test"]


@dataclass(frozen=True)
class Picture:
    """One picture of a source.

    Attributes:
        file: Its place, relative to the source's root; unique.
        label: Index into the source's classes.
        part: The part the source itself puts it in, or None where the source has no parts.
        stamp: Changes whenever the picture does (size and time of the file).
    """

    file: str
    label: int
    part: Part | None
    stamp: str


@dataclass(frozen=True)
class Source:
    """Pictures of some classes.

    Attributes:
        name: For messages: the folder, or ``digits``.
        classes: Class names in label order.
        pictures: All of them, in a fixed order.
        open: Decodes one to RGB; raises ``OSError`` where it is no readable image.
    """

    name: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    open: Callable[[Picture], Image.Image]
