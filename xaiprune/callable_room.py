"""Lets a room be called by its own name: ``xp.attribute(...)``, although that is a package."""

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(room: str) -> None:
    """Calling the package ``room`` calls the function of the same name in it.

    A package and a function cannot both be ``xaiprune.attribute``: importing anything below the package sets
    the attribute to the module. So the module itself takes calls.
    """
    sys.modules[room].__class__ = _CallableRoom
