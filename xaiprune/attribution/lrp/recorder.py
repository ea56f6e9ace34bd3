"""Runs a network forward and puts every operation into an autograd graph that propagates relevance.

A `TorchFunctionMode` sees each functional call together with the module it happens in. Operations are
looked up by name in `HANDLERS`; one that depends on the image and is not listed there is refused by name,
never guessed. The model is not changed: hooks are taken off again on the way out, whatever happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaiprune.attribution.lrp.linear import LinearCall, WeightCache
from xaiprune.attribution.lrp.nodes import TapNode
from xaiprune.attribution.lrp.passes import Pass
from xaiprune.attribution.lrp.tags import Tag, current, set_tag, tag_of
from xaiprune.errors import UnsupportedOperation, XaipruneError

Handler = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for operations by name (``__iadd__``, ``add_`` and ``add`` are all ``add``).

    It is called as ``handler(recorder, op, *args, **kwargs)`` and returns the operation's result; it may
    tag it, otherwise `Recorder.finish` gives it a plain tag.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register


@dataclass(frozen=True)
class Op:
    """One intercepted call: the function, its plain name, and the module it sits in."""

    func: Callable[..., Any]
    name: str
    module: str


@dataclass(frozen=True)
class Constant:
    """A handler's result that does not depend on the image (a shape, a tensor of zeros)."""

    value: Any


@dataclass(frozen=True)
class TapPoint:
    """Where relevance is read: a module's output or (first) input."""

    module: str
    where: Literal["output", "input"]


class Recorder(TorchFunctionMode):
    """One recorded forward.

    Attributes:
        calls: Linear calls that are part of the network's function, in execution order.
        starts: Tensors at which the graph begins (the lowest taps, or the image).
        starts_at_image: Whether the first of `starts` is the image.
        seen: The tapped tensor of every tap that was reached.
    """

    def __init__(
        self, taps: Sequence[TapPoint], pass_: Pass, weights: WeightCache, keep_sums: bool = False
    ) -> None:
        super().__init__()
        self.pass_ = pass_
        self.weights = weights
        self.keep_sums = keep_sums
        self.calls: dict[int, LinearCall] = {}
        self.starts: list[Tensor] = []
        self.seen: dict[int, Tensor] = {}
        self.starts_at_image = False
        self._taps = list(enumerate(taps))
        self._stack: list[str] = []

    # -- running -----------------------------------------------------------------------------------

    def run(self, model: nn.Module, images: Tensor, from_image: bool = False) -> Tensor:
        """The model's output, with relevance-propagating graph from the taps on.

        Args:
            model: In eval mode; left exactly as it was.
            images: (N, 3, H, W).
            from_image: Let the graph begin at the image instead of at the lowest tap.
        """
        if model.training:
            raise XaipruneError("the model is in training mode; call model.eval() before attribution")
        x = images.detach().clone()
        if from_image:
            x.requires_grad_()
            self.starts.append(x)
            self.starts_at_image = True
        set_tag(x, Tag(raw_input=True))
        with torch.inference_mode(False), torch.no_grad(), self._module_names(model), self:
            logits = model(x)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or tag_of(logits) is None:
            raise XaipruneError(
                f"the model must return logits of shape (N, classes), got {_describe(logits)}"
            )
        return current(logits)

    @contextlib.contextmanager
    def _module_names(self, model: nn.Module) -> Iterator[None]:
        handles: list[torch.utils.hooks.RemovableHandle] = []
        try:
            for name, module in model.named_modules():
                handles.append(module.register_forward_pre_hook(self._entering(name)))
                handles.append(module.register_forward_hook(self._leaving(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._stack.clear()

    def _entering(self, name: str) -> Callable[..., Any]:
        taps = self.taps_at(name, "input")

        def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            self._stack.append(name)
            if not taps:
                return None
            with torch._C.DisableTorchFunction():
                return (self.tap(args[0], taps), *args[1:])

        return hook

    def _leaving(self, name: str) -> Callable[..., Any]:
        taps = self.taps_at(name, "output")

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            self._stack.pop()
            if not taps:
                return None
            with torch._C.DisableTorchFunction():
                return self.tap(output, taps)

        return hook

    @property
    def module(self) -> str:
        """Qualified name of the module that is running."""
        return self._stack[-1] if self._stack else ""

    # -- taps --------------------------------------------------------------------------------------

    def taps_at(self, module: str, where: str) -> list[int]:
        return [i for i, point in self._taps if point.module == module and point.where == where]

    def tap(self, x: Any, taps: Sequence[int]) -> Any:
        """Read relevance at a tensor; the graph begins here if it has not begun below."""
        if not taps:
            return x
        if not isinstance(x, Tensor) or tag_of(x) is None:
            raise XaipruneError(
                f"module {self.module}: relevance can be read at one tensor that depends on the image"
            )
        x = current(x)
        tag = tag_of(x)
        assert tag is not None
        with torch.enable_grad():
            if not x.requires_grad:
                x = x.detach().requires_grad_()
                self.starts.append(x)
            for index in taps:
                x = TapNode.apply(x, index, self.pass_)
                self.seen[index] = x
        return set_tag(x, replace(tag, replaced_by=None, tapped=True))

    # -- interception ------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        raw_name = getattr(func, "__name__", str(func))
        if raw_name == "__get__":
            return self._property(func, args)
        args = _latest(args)
        kwargs = {key: _latest(value) for key, value in kwargs.items()} if kwargs else kwargs
        if not _depends_on_image(args) and not (kwargs and _depends_on_image(tuple(kwargs.values()))):
            return func(*args, **kwargs)
        op = Op(func, _plain_name(raw_name), self.module)
        handler = HANDLERS.get(op.name)
        if handler is None or "out" in kwargs:
            raise UnsupportedOperation(
                f"module '{op.module or 'the model itself'}': operation '{raw_name}' has no relevance rule; "
                f"use a network without it, or register one in xaiprune.attribution.lrp"
            )
        result = handler(self, op, *args, **kwargs)
        if isinstance(result, Constant):
            return result.value
        result = self.finish(result)
        if _in_place(raw_name) or kwargs.get("inplace") is True or _positional_inplace(op, args):
            self._replace(args[0], result)
        return result

    def plain(self, op: Op, *args: Any, **kwargs: Any) -> Any:
        """Run an operation whose gradient is its relevance propagation."""
        func = op.func
        if _in_place(getattr(func, "__name__", "")):
            func = _out_of_place(func, op)
        if kwargs.get("inplace") is True:
            kwargs["inplace"] = False
        with torch.enable_grad():
            return func(*_constants(args), **{key: _constants(value) for key, value in kwargs.items()})

    def finish(self, result: Any) -> Any:
        """Make sure that every tensor of a result carries a tag."""
        if isinstance(result, Tensor):
            if tag_of(result) is None:
                set_tag(result, Tag())
        elif isinstance(result, tuple | list):
            for item in result:
                self.finish(item)
        return result

    def _property(self, func: Any, args: Any) -> Any:
        x = current(args[0])
        if tag_of(x) is None:
            return func(*args)
        with torch.enable_grad():
            result = func(x)
        if isinstance(result, Tensor):
            owner = getattr(func, "__self__", None)
            name = getattr(owner, "__name__", "")
            if name not in ("T", "mT", "H", "mH"):
                raise UnsupportedOperation(
                    f"module '{self.module}': reading .{name} of an activation has no relevance rule"
                )
            source = tag_of(x)
            assert source is not None
            set_tag(result, replace(source, call=None, raw_input=False))
        return result

    def _replace(self, old: Any, new: Any) -> None:
        """What an in-place operation means: whoever reads the old tensor later gets the new one."""
        if not isinstance(old, Tensor) or not isinstance(new, Tensor) or old is new:
            return
        tag = tag_of(old)
        if tag is None:
            tag = Tag()
            set_tag(old, tag)
        tag.replaced_by = new


def _depends_on_image(values: Any) -> bool:
    for value in values:
        if isinstance(value, Tensor):
            if tag_of(value) is not None:
                return True
        elif isinstance(value, tuple | list) and _depends_on_image(value):
            return True
    return False


def _latest(value: Any) -> Any:
    """Replace tensors by what in-place operations have made of them."""
    if isinstance(value, Tensor):
        return current(value)
    if type(value) in (tuple, list):
        return type(value)(_latest(item) for item in value)
    return value


def _constants(value: Any) -> Any:
    """Detach what does not depend on the image (parameters), so that no graph grows towards it."""
    if isinstance(value, Tensor):
        return value.detach() if tag_of(value) is None and value.requires_grad else value
    if type(value) in (tuple, list):
        return type(value)(_constants(item) for item in value)
    return value


def _plain_name(name: str) -> str:
    """``__iadd__``, ``__radd__``, ``add_`` -> ``add``; other names unchanged."""
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name in _OPERATORS:
            return _OPERATORS[name]
        return f"__{name}__"
    return name.rstrip("_").lstrip("_")


_OPERATORS = {
    **{f"{prefix}{name}": name for prefix in ("", "i", "r") for name in ("add", "sub", "mul", "matmul")},
    "truediv": "div",
    "itruediv": "div",
    "rtruediv": "rdiv",
    "rsub": "rsub",
    "neg": "neg",
    "getitem": "getitem",
}


def _in_place(name: str) -> bool:
    if name.startswith("__"):
        return name.startswith("__i") and name[2:-2] in _OPERATORS
    return name.endswith("_")


def _positional_inplace(op: Op, args: Any) -> bool:
    """``F.relu(x, True)``: activations that take ``inplace`` as their last positional argument."""
    return (
        len(args) > 1
        and args[-1] is True
        and op.name in ("relu", "relu6", "silu", "hardswish", "hardsigmoid", "mish")
    )


def _out_of_place(func: Any, op: Op) -> Any:
    for owner in (torch.Tensor, torch, torch.nn.functional):
        found = getattr(owner, op.name, None)
        if found is not None:
            return found
    raise UnsupportedOperation(
        f"module '{op.module}': in-place operation '{func.__name__}' has no relevance rule"
    )


def _describe(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
