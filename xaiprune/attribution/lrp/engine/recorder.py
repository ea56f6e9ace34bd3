"""Runs a network forward and puts every operation into an autograd graph that propagates relevance.

A `TorchFunctionMode` sees each functional call together with the module it happens in, and looks up its
handler in `xaiprune.registry.OPERATIONS`. An operation that depends on the image and has no handler is
refused by name, never guessed. The model is not changed: hooks are removed in the end, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaiprune.attribution.lrp.engine.linear_call import LinearCall, WeightCache
from xaiprune.attribution.lrp.engine.nodes import ActivationNode, TapNode
from xaiprune.attribution.lrp.engine.passes import Pass
from xaiprune.attribution.lrp.engine.tags import (
    Tag,
    current,
    has_powers,
    plainly,
    set_plainly,
    set_tag,
    tag_of,
)
from xaiprune.attribution.lrp.engine.written_out import WrittenOut, written_out
from xaiprune.embedding import TokenIds, copied
from xaiprune.errors import UnsupportedOperation, XaipruneError
from xaiprune.forward import Inputs, as_found, explained, logits_of, run
from xaiprune.registry import OPERATIONS
from xaiprune.tracing import is_in_place, plain_name, running_modules, short_name


@dataclass(frozen=True)
class Op:
    """One intercepted call: the function, its plain name, and the module it happens in."""

    func: Callable[..., Any]
    name: str
    module: str

    def refused(self, reason: str) -> UnsupportedOperation:
        """The error to raise where the call has no relevance rule; names the module."""
        return UnsupportedOperation(f"module '{self.module or 'the model itself'}': {reason}")


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

    An operation's handler is called as ``handler(recorder, op, *args, **kwargs)`` and returns the operation's
    result. `plain` runs the operation with its own gradient. The handler may tag the result (`set_tag`);
    without a tag nothing is assumed about it.

    Attributes:
        calls: Linear calls that are part of the network's function, in execution order.
        starts: Tensors at which the graph begins: the inputs, or the lowest taps.
        inputs: Of each of the first of `starts`, the name of the input that it is, and the ids as their
            embedding read them (None: pixels).
        ids: The ids among the inputs.
        seen: Tap -> the tapped tensor of each of its calls.
        pass_: The pass that the graph's nodes ask how to propagate.
        weights: Derived weights of the network.
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
        self.seen: dict[int, list[Tensor]] = {}
        self.inputs: list[tuple[str, Tensor | None]] = []
        self.ids = TokenIds({})
        self._from_input = False
        self._running = [""]
        self._replaced: list[Tag] = []
        self._activations: dict[str, WrittenOut] = {}
        self._activation_input: Any = None
        self._taps: dict[tuple[str, str], list[int]] = {}
        for index, point in enumerate(taps):
            self._taps.setdefault((point.module, point.where), []).append(index)

    # -- running -----------------------------------------------------------------------------------

    def run(self, model: nn.Module, inputs: Inputs, from_input: bool = False) -> Tensor:
        """The model's output, with a relevance-propagating graph from the taps on.

        Args:
            model: In eval mode; left exactly as it was.
            inputs: (N, 3, H, W), or text.
            from_input: Let the graph begin at the image, or at the embedding of text, not at the lowest tap.
        """
        if model.training:
            raise XaipruneError("the model is in training mode; call model.eval() before attribution")
        own = copied(inputs)
        self.ids, self._from_input = TokenIds(own), from_input
        self._activations = written_out(model)
        for name, x in explained(own).items():
            if x.is_floating_point():
                self._begin(x, Tag(raw_input=True), name, None)
        modules = running_modules(model, self._entering, self._leaving)
        try:
            with (
                torch.inference_mode(False),
                torch.no_grad(),
                as_found(model),
                modules as self._running,
                self,
            ):
                outputs = run(model, own)
            logits = current(logits_of(outputs))
            if tag_of(logits) is None:
                raise XaipruneError(
                    "the model's logits do not depend on the image, or on an embedding of the ids: "
                    "there is no relevance"
                )
            return logits
        finally:
            # From a tensor to what replaced it, and from there through the graph back to the tensor: a circle
            # that would keep the activations of this batch in memory through many of the next.
            for tag in self._replaced:
                tag.replaced_by = None

    def _begin(self, x: Tensor, tag: Tag, name: str, index: Tensor | None) -> Tensor:
        """An input, or what ids are embedded as: everything made of it depends on the input."""
        if self._from_input:
            x.requires_grad_()
            self.starts.append(x)
            self.inputs.append((name, index))
        return set_tag(x, tag)

    def _entering(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        tapped = (name, "input") in self._taps
        if tapped:
            with torch._C.DisableTorchFunction():
                args = (self.tap(args[0], name, "input"), *args[1:])
        if name in self._activations:
            self._activation_input = current(args[0])
        return args if tapped else None

    def _leaving(self, name: str, output: Any) -> Any:
        written = self._activations.get(name)
        tapped = (name, "output") in self._taps
        if written is None and not tapped:
            return None
        with torch._C.DisableTorchFunction():
            if written is not None and tag_of(self._activation_input) is not None:
                self.pass_.module = name
                x, self._activation_input = self._activation_input, None
                output = set_tag(self.activation(x, written.function, written.slope_at_zero), Tag())
            return self.tap(output, name, "output") if tapped else output

    # -- taps --------------------------------------------------------------------------------------

    def tap(self, x: Any, module: str, where: Literal["output", "input"]) -> Any:
        """The tensor at a module's output or input, read there if a tap asks for it.

        The graph begins here if it has not begun below.
        """
        taps = self._taps.get((module, where))
        if taps is None:
            return x
        if not isinstance(x, Tensor) or tag_of(x) is None:
            raise XaipruneError(
                f"module {module}: relevance can only be read at a single tensor that depends on the image"
            )
        x = current(x)
        tag = tag_of(x)
        assert tag is not None
        with torch.enable_grad():
            if not x.requires_grad:
                x = x.detach().requires_grad_()
                self.starts.append(x)
            for index in taps:
                calls = self.seen.setdefault(index, [])
                x = TapNode.apply(x, index, len(calls), self.pass_)
                calls.append(x)
        return set_tag(x, replace(tag, replaced_by=None, tapped=True))

    # -- interception ------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = short_name(func)
        if name == "__get__":
            return self._property(func, args)
        args = _each(args, current)
        kwargs = {key: _each(value, current) for key, value in kwargs.items()}
        args = (*args, *(kwargs.pop(key) for key in ("input", "other") if key in kwargs))
        if not _depends_on_image(args) and not _depends_on_image(kwargs.values()):
            return self._embedding(name, args, kwargs, func(*args, **kwargs))
        op = Op(func, plain_name(name), self._running[-1])
        handler = OPERATIONS.get(op.name)
        if handler is None or kwargs.get("out") is not None:
            raise op.refused(
                f"operation '{name}' has no relevance rule; use a network without it, or add one with "
                f"xaiprune.register_operation (docs/extending.md)"
            )
        self.pass_.module = op.module
        result = handler(self, op, *args, **kwargs)
        if isinstance(result, Constant):
            return result.value
        result = _tagged(result)
        if is_in_place(name) or kwargs.get("inplace") is True or _positional_inplace(op, args):
            self._replace(args[0], result)
        return result

    def _embedding(self, name: str, args: Any, kwargs: Mapping[str, Any], result: Any) -> Any:
        """What a call returns that no input has reached yet; if it embeds the ids, the graph begins here."""
        found = self.ids.embedded(name, (*args, *kwargs.values())) if self.ids else None
        if found is None or not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        return self._begin(result.detach(), Tag(), *found)

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function as if the network had called it here: an operation that is made of others."""
        return self.__torch_function__(func, (), args, kwargs)

    def _replace(self, old: Any, new: Any) -> None:
        """What an in-place operation means: whoever reads the old tensor later gets the new one."""
        if not isinstance(old, Tensor) or not isinstance(new, Tensor) or old is new:
            return
        tag = tag_of(old)
        if tag is None:
            tag = Tag()
            set_tag(old, tag)
        tag.replaced_by = new
        self._replaced.append(tag)

    def plain(self, op: Op, *args: Any, **kwargs: Any) -> Any:
        """Run an operation whose gradient is its relevance propagation."""
        func = op.func
        if is_in_place(short_name(func)):
            func = _out_of_place(op)
        if kwargs.get("inplace") is True:
            kwargs["inplace"] = False
        args = tuple(_each(args, _constant))
        kwargs = {key: _each(value, _constant) for key, value in kwargs.items()}
        with torch.enable_grad():
            result = func(*args, **kwargs)
        if isinstance(result, Tensor) and any(map(has_powers, args)) and not has_powers(result):
            set_plainly(result, lambda: func(*_each(args, plainly), **kwargs))
        return result

    def activation(self, x: Tensor, f: Callable[[Tensor], Tensor], slope_at_zero: float) -> Tensor:
        """Run an elementwise function with f(0) = 0: relevance passes unchanged, g f(x)/x in gradient form.

        Args:
            x: Its input.
            f: The function, without in-place writes.
            slope_at_zero: The limit of f(x)/x at 0.
        """
        with torch.enable_grad():
            result: Tensor = ActivationNode.apply(x, f(x.detach()), f, slope_at_zero, self.pass_)
        return result

    def _property(self, func: Any, args: Any) -> Any:
        x = current(args[0])
        source = tag_of(x)
        if source is None:
            return func(*args)
        with torch.enable_grad():
            result = func(x)
        if isinstance(result, Tensor):
            name = getattr(getattr(func, "__self__", None), "__name__", "")
            if name not in ("T", "mT", "H", "mH"):
                raise Op(func, name, self._running[-1]).refused(
                    f"reading .{name} of an activation has no relevance rule"
                )
            set_tag(result, replace(source, call=None, raw_input=False))
        return result


def _tagged(result: Any) -> Any:
    """The same result, every tensor of which carries a tag."""
    if isinstance(result, Tensor):
        if tag_of(result) is None:
            set_tag(result, Tag())
    elif isinstance(result, tuple | list):
        for item in result:
            _tagged(item)
    return result


def _depends_on_image(values: Any) -> bool:
    for value in values:
        if isinstance(value, Tensor):
            if tag_of(value) is not None:
                return True
        elif isinstance(value, tuple | list) and _depends_on_image(value):
            return True
    return False


def _each(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to a tensor, or to all in tuples and lists."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in (tuple, list):
        return type(value)(_each(item, function) for item in value)
    return value


def _constant(value: Tensor) -> Tensor:
    """Detach what does not depend on the image (parameters), so that no graph grows towards it."""
    return value.detach() if tag_of(value) is None and value.requires_grad else value


def _positional_inplace(op: Op, args: Any) -> bool:
    """``F.relu(x, True)``: activations that take ``inplace`` as their last positional argument."""
    return (
        len(args) > 1
        and args[-1] is True
        and op.name in ("relu", "relu6", "silu", "hardswish", "hardsigmoid", "mish")
    )


def _out_of_place(op: Op) -> Callable[..., Any]:
    for owner in (torch.Tensor, torch, torch.nn.functional):
        found: Callable[..., Any] | None = getattr(owner, op.name, None)
        if found is not None:
            return found
    raise op.refused(f"in-place operation '{short_name(op.func)}' has no relevance rule")
