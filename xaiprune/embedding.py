"""Where gradients and relevance of a network's inputs begin: at pixels, and at what ids are embedded as.

Ids are integers and have no gradient. The embedding is found by what it reads, not by its name: the call that
looks rows up at the very ids that the network was given (positions and token types are other integers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, explained, run
from xaiprune.tracing import short_name

_LOOKS_UP = ("embedding", "__getitem__", "index_select")


class TokenIds:
    """The ids that a network is given, recognised where it embeds them."""

    def __init__(self, inputs: Inputs) -> None:
        """
        Args:
            inputs: Copies that nothing else shares memory with, since ids are recognised by theirs.
        """
        found = {name: tensor for name, tensor in explained(inputs).items() if not tensor.is_floating_point()}
        self._shapes = {name: ids.shape for name, ids in found.items()}
        self._names = {ids.untyped_storage().data_ptr(): name for name, ids in found.items()}

    def __bool__(self) -> bool:
        return bool(self._names)

    def embedded(self, name: str, args: Sequence[Any]) -> tuple[str, Tensor] | None:
        """Whether a call embeds the ids.

        Args:
            name: The function's own name.
            args: Its arguments.

        Returns:
            The name of the ids among the inputs, and the ids as the call reads them; None: it does not.
        """
        if name not in _LOOKS_UP:
            return None
        for index in args:
            if isinstance(index, Tensor) and not index.is_floating_point() and index.numel():
                found = self._names.get(index.untyped_storage().data_ptr())
                if found is not None:
                    return found, index
        return None

    def by_token(self, name: str, index: Tensor, values: Tensor) -> Tensor:
        """Sum what belongs to an embedding's output over its width.

        Args:
            name: Of the ids among the inputs.
            index: The ids as the embedding read them: any view, so also transposed or a part.
            values: (*index.shape, ...).

        Returns:
            Of the ids' own shape.
        """
        shape = self._shapes[name]
        places = self._places(name, index).flatten()
        sums = values.flatten(index.dim()).sum(-1) if values.dim() > index.dim() else values
        return values.new_zeros(shape.numel()).index_add_(0, places, sums.flatten()).view(shape)

    def as_read(self, name: str, index: Tensor, values: Tensor) -> Tensor:
        """What belongs to each token, in the order in which the embedding reads them.

        Args:
            name: Of the ids among the inputs.
            index: The ids as the embedding reads them.
            values: Of the ids' own shape.

        Returns:
            (*index.shape).
        """
        if values.shape != self._shapes[name]:
            raise XaipruneError(
                f"there is one factor for each token, {tuple(self._shapes[name])}, got {tuple(values.shape)}"
            )
        return values.flatten()[self._places(name, index)]

    def _places(self, name: str, index: Tensor) -> Tensor:
        """Which of the flattened ids each one is that the embedding reads; ``index`` is a view of them."""
        places = torch.arange(self._shapes[name].numel(), device=index.device)
        return places.as_strided(index.shape, index.stride(), index.storage_offset())


class Leaves(TorchFunctionMode):
    """A batch whose pixels, or whose ids' embeddings, are leaves of an autograd graph."""

    def __init__(self, inputs: Inputs, scale: float | Tensor = 1.0) -> None:
        """
        Args:
            inputs: Images or text, on the network's device.
            scale: Multiplies pixels and embeddings. Of ids also (N, T): a factor for the embedding of each
                token of the text; those of an encoder-decoder's answer stay as they are.
        """
        super().__init__()
        self._scale = scale
        self._tensors: dict[str, list[tuple[Tensor | None, Tensor]]] = {}
        self._inputs = copied(inputs)
        self._ids = TokenIds(self._inputs)
        for name, tensor in explained(self._inputs).items():
            if tensor.is_floating_point():
                unscaled = isinstance(scale, Tensor) or scale == 1
                leaf = (tensor if unscaled else tensor * scale).requires_grad_()
                self._tensors[name] = [(None, leaf)]
        self._inputs = replaced(self._inputs, {name: pairs[0][1] for name, pairs in self._tensors.items()})

    def run(self, model: nn.Module) -> Any:
        """The network's output, in a graph that begins at the leaves."""
        if not self._ids:
            return run(model, self._inputs)
        with self:
            return run(model, self._inputs)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        found = self._ids.embedded(short_name(func), (*args, *(kwargs or {}).values()))
        if found is None or not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        name, index = found
        leaf = (result.detach() * self._scale_of(name, index, result)).requires_grad_()
        self._tensors.setdefault(name, []).append((index, leaf))
        return leaf

    def _scale_of(self, name: str, index: Tensor, result: Tensor) -> float | Tensor:
        if not isinstance(self._scale, Tensor):
            return self._scale
        if name.startswith("decoder"):
            return 1.0
        factors = self._ids.as_read(name, index, self._scale.to(result))
        return factors.view(*index.shape, *[1] * (result.dim() - index.dim()))

    def gradients(self, total: Tensor) -> dict[str, Tensor]:
        """The gradient of a sum of logits, by input; of ids summed over the embedding's width."""
        return self._by_input(total, lambda g, _: g)

    def times_gradient(self, total: Tensor) -> dict[str, Tensor]:
        """Input times gradient, by input; of ids summed over the embedding's width."""
        return self._by_input(total, lambda g, leaf: g * leaf.detach())

    def _by_input(self, total: Tensor, value: Any) -> dict[str, Tensor]:
        found = [(name, index, leaf) for name, pairs in self._tensors.items() for index, leaf in pairs]
        leaves = [leaf for _, _, leaf in found]
        grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
        sums: dict[str, Tensor] = {}
        for (name, index, leaf), g in zip(found, grads, strict=True):
            values = value(g, leaf)
            values = values if index is None else self._ids.by_token(name, index, values)
            sums[name] = sums[name] + values if name in sums else values
        return sums


def copied(inputs: Inputs) -> Inputs:
    """Copies, which no caller's tensor shares memory with and autograd can save."""
    if isinstance(inputs, Tensor):
        return inputs.detach().clone(memory_format=_format(inputs))
    return {name: tensor.detach().clone(memory_format=_format(tensor)) for name, tensor in inputs.items()}


def _format(tensor: Tensor) -> torch.memory_format:
    """Pixels stay in their order; ids are one after the other, so that each is known by its place."""
    return torch.preserve_format if tensor.is_floating_point() else torch.contiguous_format


def replaced(inputs: Inputs, tensors: Mapping[str, Tensor]) -> Inputs:
    """The same inputs with other tensors under some names (`xaiprune.forward.explained`)."""
    return tensors.get("input", inputs) if isinstance(inputs, Tensor) else {**inputs, **tensors}
