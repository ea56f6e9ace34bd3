"""What every tracing of a network's forward needs: which module is running, and what a function is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

Entering = Callable[[str, tuple[Any, ...]], "tuple[Any, ...] | None"]
Leaving = Callable[[str, Any], Any]

_OPERATORS = {
    **{f"{prefix}{name}": name for prefix in ("", "i", "r") for name in ("add", "sub", "mul", "matmul")},
    "truediv": "div",
    "itruediv": "div",
    "rtruediv": "rdiv",
    "rdiv": "rdiv",
    "rsub": "rsub",
    "neg": "neg",
    "eq": "eq",
    "getitem": "getitem",
    "setitem": "setitem",
}


@contextmanager
def running_modules(
    model: nn.Module, entering: Entering | None = None, leaving: Leaving | None = None
) -> Iterator[list[str]]:
    """Know which modules of a network are running, as long as the block lasts.

    Args:
        model: Gets forward hooks on all its modules; they are removed in the end, whatever happens.
        entering: Called as ``entering(name, args)`` when a module starts. A tuple that it returns replaces
            the module's positional arguments.
        leaving: Called as ``leaving(name, output)`` when a module has finished. What it returns replaces the
            output, unless it is None.

    Yields:
        Qualified names of the running modules, the innermost last. The network itself is ``""``, which also
        stands where no module runs.
    """
    running = [""]

    def enter(name: str, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        running.append(name)
        return entering(name, args) if entering else None

    def leave(name: str, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        replaced = leaving(name, output) if leaving else None
        running.pop()
        return replaced

    handles = []
    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(partial(enter, name)))
            handles.append(module.register_forward_hook(partial(leave, name)))
        yield running
    finally:
        for handle in handles:
            handle.remove()


def short_name(func: Callable[..., Any]) -> str:
    """A function's own name, as PyTorch spells it: ``conv2d``, ``add_``, ``__iadd__``."""
    name: str = getattr(func, "__name__", repr(func))
    return name.partition(".")[0]  # overloads of torch.ops are called ``add.Tensor``


def plain_name(name: str) -> str:
    """One name for all spellings of an operation: ``add_``, ``__iadd__`` and ``__radd__`` are ``add``."""
    if name.startswith("__") and name.endswith("__"):
        return _OPERATORS.get(name[2:-2], name)
    return name.strip("_")


def is_in_place(name: str) -> bool:
    """Whether a function of this name changes its first argument: ``add_``, ``__iadd__``, ``__setitem__``."""
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name[2:-2] in _OPERATORS)
    return name.endswith("_")
