"""ImageNet-1k's label space: wnids and class names -> the output index that ImageNet networks use."""

from collections import defaultdict
from functools import cache

from timm.data import ImageNetInfo

from xaiprune.errors import XaipruneError, did_you_mean


@cache
def _info() -> ImageNetInfo:
    return ImageNetInfo("imagenet-1k")


@cache
def wnids() -> tuple[str, ...]:
    """The 1,000 wnids; position = output index."""
    return tuple(_info().label_names())


def is_wnid(name: str) -> bool:
    """Whether the name is a wnid of ImageNet-1k."""
    return name in _indices()


def class_name(name: str) -> str:
    """The name that people use of a class: the first of a wnid's, also of ImageNet-21k; others stay as is.

    Where two classes of ImageNet-1k share it, the wnid stands behind it: ``crane (n02012849)``.
    """
    try:
        first = _info().label_name_to_description(name).split(",")[0]
    except KeyError:
        return name
    return first if len(_names().get(_plain(first), ())) < 2 else f"{first} ({name})"


def index_of(name: str) -> int:
    """The output index of a wnid or a class name (``tench``, ``golden_retriever``).

    Raises:
        XaipruneError: There is no such class, or two classes have the name.
    """
    if name in _indices():
        return _indices()[name]
    found = _names().get(_plain(name), ())
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(wnids()[i] for i in found)
        raise XaipruneError(f"ImageNet has two classes '{name}'; use the wnid {choices}")
    closest = did_you_mean(_plain(name), _names()) or "; use its wnid (n01440764) or name (tench)"
    raise XaipruneError(f"ImageNet-1k has no class '{name}'{closest}")


@cache
def _indices() -> dict[str, int]:
    return {wnid: index for index, wnid in enumerate(wnids())}


@cache
def _names() -> dict[str, tuple[int, ...]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for index in range(len(wnids())):
        for name in _info().index_to_description(index).split(","):  # "tench, Tinca tinca"
            if index not in found[_plain(name)]:
                found[_plain(name)].append(index)
    return {name: tuple(indices) for name, indices in found.items()}


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
