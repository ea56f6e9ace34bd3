"""The data sources, by the name that ``data.source`` gives."""

from collections.abc import Callable

from xaiprune.config import DataConfig
from xaiprune.data.source import Source
from xaiprune.data.sources.digits import digits
from xaiprune.data.sources.folder import image_folder
from xaiprune.data.sources.imagenet import imagenet

# A new source is a function from the configuration to a Source, and a line here (and in the schema).
SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "digits": digits,
    "image_folder": image_folder,
    "imagenet": imagenet,
}

__all__ = ["SOURCES", "digits", "image_folder", "imagenet"]
