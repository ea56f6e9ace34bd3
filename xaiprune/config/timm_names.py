"""Names of timm's networks, read from its source: importing timm, and torch with it, takes seconds."""

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)


def is_model(architecture: str) -> bool:
    """Whether timm has a network of this name, without a tag.

    timm itself is asked where its source mentions the name in another way than it registers networks now, and
    where it has been imported already, as a module of the user's must do that registers networks.
    """
    if architecture in registered():
        return True
    if "timm" not in sys.modules and not re.search(rf"\b{re.escape(architecture)}\b", _source()):
        return False
    import timm

    return bool(timm.is_model(architecture))


def registered() -> frozenset[str]:
    """Names of the networks that timm's source registers."""
    return frozenset(_REGISTERED.findall(_source()))


@cache
def _source() -> str:
    spec = find_spec("timm")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    files = [file for folder in folders for file in sorted(Path(folder, "models").rglob("*.py"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
