"""One traced forward of a network: which operation made which value, and which operations read it.

The trace sees PyTorch's functions, not module classes, so it works for any network whose forward is
made of overridable functions (``torch.overrides``), no matter which library the modules come from.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from xaiprune.errors import XaipruneError
from xaiprune.forward import (
    Inputs,
    as_input,
    evaluating,
    explained,
    input_channels,
    logits_of,
    random_inputs,
    run,
)
from xaiprune.tracing import plain_name, running_modules, short_name

_TOKENS = 16  # of a language model's example


@dataclass(frozen=True, eq=False)
class Op:
    """One call of a PyTorch function.

    Attributes:
        name: Short name of the function (``conv2d``, ``add_``, ``view``).
        module: Qualified name of the innermost module that was running (``""``: the network itself).
        inputs: Value numbers of the tensors it read; parameters and constants have none.
        outputs: Value numbers of the tensors it made.
    """

    name: str
    module: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def plain(self) -> str:
        """One name for all spellings: ``add`` for ``add_`` and ``__iadd__``."""
        return plain_name(self.name)

    @property
    def where(self) -> str:
        """The module, in words."""
        return self.module or "the network"


@dataclass
class Flow:
    """A traced forward.

    Attributes:
        modules: The network's modules by qualified name (``""``: the network itself).
        example: What the network ran on.
        ops: Every operation on tensors, in execution order.
        tensors: Value number -> the tensor as it was passed on (its content may be overwritten since).
        module_outputs: Module name -> the values returned by each of its calls.
        inputs: The images or ids that the network ran on.
        outputs: The values that the network returned.
        consumers: Value -> the operations that read it.
        makers: Value -> the operation that made it.
        uses: ``id`` of a parameter or buffer -> how many operations read it.
        uncuttable: Layers whose units the forward was tried without -> why it failed, or ""
            (`why_uncuttable`).
    """

    modules: dict[str, nn.Module]
    example: Inputs
    ops: list[Op] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    module_outputs: dict[str, list[int]] = field(default_factory=dict)
    inputs: set[int] = field(default_factory=set)
    outputs: set[int] = field(default_factory=set)
    consumers: dict[int, list[Op]] = field(default_factory=dict)
    makers: dict[int, Op] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)
    uncuttable: dict[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[int, str]:
        """``id`` of a parameter or buffer -> its qualified name."""
        model = self.modules[""]
        return {id(tensor): name for name, tensor in [*model.named_buffers(), *model.named_parameters()]}

    def shape(self, value: int) -> torch.Size:
        """Shape of a value."""
        return self.tensors[value].shape


class _Recorder(TorchFunctionMode):
    """Numbers every tensor that a function returns; an in-place result is a new value."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.running: Sequence[str] = ()
        self._number: dict[int, int] = {}  # id of a live tensor -> its newest value number

    def number(self, tensor: Tensor) -> int | None:
        return self._number.get(id(tensor))

    def new_value(self, tensor: Tensor) -> int:
        value = len(self.flow.tensors)
        self.flow.tensors.append(tensor)  # kept alive, so that ids stay unique during the trace
        self._number[id(tensor)] = value
        return value

    def values(self, tree: Any) -> tuple[int, ...]:
        leaves = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
        return tuple(value for leaf in leaves if (value := self.number(leaf)) is not None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = self.values((args, kwargs))
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if made:
            read = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
            self.flow.uses.update((read - {id(leaf) for leaf in made}) & self.flow.names.keys())
        if inputs and made:
            outputs = tuple(self.new_value(tensor) for tensor in made)
            # Copied, because a list of tensors may grow after the call (DenseNet's features do).
            args, kwargs = tree_map(lambda leaf: leaf, (args, kwargs))
            op = Op(short_name(func), self.running[-1], func, args, kwargs, inputs, outputs)
            self.flow.ops.append(op)
            self.flow.makers.update(dict.fromkeys(outputs, op))
            for value in dict.fromkeys(inputs):
                self.flow.consumers.setdefault(value, []).append(op)
        return result


def trace(model: nn.Module, example: Inputs) -> Flow:
    """Run one forward and record it.

    Args:
        model: Any network; it runs in eval mode and its modes are restored. Nothing else of it changes.
        example: One input, (N, 3, H, W), or ids (N, T), or a dict of tensors, on the model's device.

    Raises:
        XaipruneError: If the network cannot run on the example, or returns no logits (`logits_of`).
    """
    example = as_input(model, example)
    flow = Flow(dict(model.named_modules()), example)
    recorder = _Recorder(flow)

    def leaving(name: str, output: Any) -> None:
        flow.module_outputs.setdefault(name, []).extend(recorder.values(output))

    try:
        with evaluating(model), torch.no_grad(), running_modules(model, leaving=leaving) as running, recorder:
            recorder.running = running
            flow.inputs = {recorder.new_value(tensor) for tensor in explained(example).values()}
            output = run(model, example)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in explained(example).values())
        raise XaipruneError(
            f"{type(model).__name__} does not run on an input of shape {shapes} ({reason}); "
            "pass an example of the size it expects"
        ) from error
    flow.outputs = set(recorder.values(logits_of(output)))
    return flow


def device_of(model: nn.Module) -> torch.device:
    """Where a network's parameters lie; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def default_example(model: nn.Module) -> Inputs:
    """Zeros of the network's default input size, (1, C, H, W), on its device; of a language model a few ids.

    The size is, in this order, the ``img_size`` that a patch embedding requires, the ``input_size`` of timm's
    ``pretrained_cfg``, the ``image_size`` of torchvision's ViTs, else 3 x 224 x 224.
    """
    if getattr(model, "main_input_name", None) == "input_ids":  # transformers' language models
        ids = torch.zeros(1, _TOKENS, dtype=torch.int64, device=device_of(model))
        twice = getattr(model.config, "is_encoder_decoder", False)
        return random_inputs(model, {"input_ids": ids, "decoder_input_ids": ids} if twice else ids)
    parameter = next(model.parameters(), torch.empty(0))
    return torch.zeros(1, *_input_size(model), device=parameter.device, dtype=parameter.dtype)


def _input_size(model: nn.Module) -> tuple[int, ...]:
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    size = config.get("input_size") if isinstance(config, Mapping) else getattr(config, "input_size", None)
    if size and size[0] != 3:
        return tuple(size)
    fixed = (getattr(m, "img_size", None) for m in model.modules() if getattr(m, "strict_img_size", True))
    side: Any = next((side for side in fixed if isinstance(side, tuple) and len(side) == 2), None)
    side = side or (size[1:] if size else getattr(model, "image_size", 224))
    height, width = map(int, side if isinstance(side, (tuple, list)) else (side, side))
    return (input_channels(model, height, width), height, width)
