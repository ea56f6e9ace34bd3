"""One forward of a batch, then relevance for any number of composites, one modified backward each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from xaiprune.attribution.lrp.composite import Composite, LayerInfo
from xaiprune.attribution.lrp.engine.linear_call import LinearCall, WeightCache
from xaiprune.attribution.lrp.engine.passes import Account, LayerAccount, Pass, Reader
from xaiprune.attribution.lrp.engine.recorder import Recorder, TapPoint
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, explained, part_of
from xaiprune.units import default_example

# Top-level modules that timm puts between the last block and the logits, beside the classifier itself.
_CLASSIFIER_PARTS = ("pre_logits", "head_dist", "head_drop")


class Recording:
    """A recorded forward.

    Attributes:
        logits: (N, classes), or (N, T, vocabulary), detached.
        layers: The linear layers and convolutions that ran, in order.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Inputs,
        taps: Sequence[TapPoint],
        *,
        from_input: bool = False,
        weights: WeightCache | None = None,
        several: bool = False,
    ) -> None:
        """Run the model forward.

        Args:
            model: In eval mode.
            images: (N, 3, H, W), normalised, or text.
            taps: Where relevance will be read.
            from_input: Propagate down to the pixels, or the embedding of text, not only to the lowest tap.
            weights: Derived weights kept from earlier recordings of the same model.
            several: Several composites will follow; sums that do not depend on rules are kept.

        Raises:
            UnsupportedOperation: An operation has no relevance rule; names it and its module.
            XaipruneError: A tap was never reached, or the model does not return logits.
        """
        self._pass = Pass()
        self._recorder = Recorder(taps, self._pass, weights or WeightCache(), several)
        self._output = self._recorder.run(model, images, from_input)
        missing = [taps[i] for i in range(len(taps)) if i not in self._recorder.seen]
        if missing:
            raise XaipruneError(
                f"module '{missing[0].module}' is not run in this model's forward: nothing to read there"
            )
        self.logits = self._output.detach()
        self.layers = layer_infos(list(self._recorder.calls.values()))

    def backward(
        self, composite: Composite, initial: Tensor, read: Reader, *, last: bool = False
    ) -> dict[str, Tensor]:
        """Propagate relevance from the logits down to the lowest tap.

        Args:
            composite: Rules; resolved against the layers that ran.
            initial: Gradient-form relevance of the logits, R = initial * logits.
            read: Called as ``read(tap index, number of its call, activation, g)``, with R = g * activation.
            last: Free the graph; no further composite follows.

        Returns:
            Relevance of each input by name: ``input``, or a key of the dict. Of an image, (N, 3, H, W); of
            ids, (N, T), summed over the embedding's width. Empty where the recording begins above.
        """
        self._pass.begin(composite, composite.resolve(self.layers), read)
        starts = self._recorder.starts
        grads = torch.autograd.grad(
            self._output, starts, initial.to(self._output), retain_graph=not last, allow_unused=True
        )
        found: dict[str, Tensor] = {}
        for (name, index), start, g in zip(self._recorder.inputs, starts, grads, strict=False):
            relevance = torch.zeros_like(start) if g is None else start.detach() * g
            if index is not None:
                relevance = self._recorder.ids.by_token(name, index, relevance)
            found[name] = found[name] + relevance if name in found else relevance
        extra = self._pass.input_relevance
        if extra is not None:  # of a rule for layers that read the image, the only input
            found = {name: relevance + extra for name, relevance in found.items()}
        return found

    def follow(self, account: Account, account_layer: LayerAccount) -> None:
        """Let everything that passes relevance by a rule say what it is given and what it passes on.

        Args:
            account: For what is between layers.
            account_layer: For layers.
        """
        self._pass.account, self._pass.account_layer = account, account_layer

    def tapped(self, index: int) -> list[Tensor]:
        """The activations at a tap, of each of its calls, detached."""
        return [tensor.detach() for tensor in self._recorder.seen[index]]

    def bytes_per_image(self) -> int:
        """Memory that one image's activations take in the graph, roughly."""
        calls = self._recorder.calls.values()
        total = sum((c.x.numel() + 2 * c.z.numel()) * c.z.element_size() for c in calls)
        return total // max(1, len(self.logits))


def layer_infos(calls: Sequence[LinearCall]) -> list[LayerInfo]:
    """Layers in execution order with type and depth; a layer that runs twice counts once."""
    types: dict[str, Literal["conv", "linear"]] = {}
    for call in calls:
        types.setdefault(call.name, "linear" if call.geometry is None else "conv")
    names = list(types)
    classifier = _classifier(names)
    body = [name for name in names if name not in classifier]
    position = {name: index / len(body) for index, name in enumerate(body)}
    return [LayerInfo(n, types[n], position.get(n, 1.0), n in classifier) for n in names]


def _classifier(names: Sequence[str]) -> set[str]:
    """The last layer and its neighbours under the same top-level module, as in ``classifier.0``."""
    if not names:
        return set()
    split = [name.split(".") for name in names]
    shared = 0
    while len(names) > 1 and all(len(p) > shared + 1 for p in split) and len({p[shared] for p in split}) == 1:
        shared += 1
    top = split[-1][shared]
    return {
        name
        for name, parts in zip(names, split, strict=True)
        if parts[shared] == top or parts[shared] in _CLASSIFIER_PARTS
    }


def trace_layers(model: nn.Module, example: Inputs | None = None) -> list[LayerInfo]:
    """The layers that a composite can give rules to, in execution order.

    Args:
        model: In eval mode.
        example: One image, (1, 3, H, W), or text; zeros of the model's input size by default.
    """
    if example is None:
        return Recording(model, default_example(model), ()).layers
    return Recording(model, as_input(model, part_of(example, slice(0, 1))), ()).layers


def relevance_at(
    model: nn.Module,
    images: Inputs,
    initial: Tensor,
    composite: Composite,
    modules: Sequence[str],
    where: Literal["output", "input"] = "output",
) -> dict[str, Tensor]:
    """Full relevance tensors, R = g * activation, at modules' outputs or first inputs.

    Args:
        model: In eval mode.
        images: (N, 3, H, W), or text.
        initial: Gradient-form relevance of the logits, of their shape (one-hot: the logit itself).
        composite: Rules.
        modules: Qualified names; ``"input"`` stands for the image or the ids, a key of a dict for its ids.
        where: At the modules' outputs or inputs.
    """
    given = explained(images)
    names = [name for name in modules if name not in given]
    from_input = len(names) < len(modules)
    recording = Recording(model, images, [TapPoint(name, where) for name in names], from_input=from_input)
    found: dict[str, Tensor] = {}

    def read(index: int, _: int, activation: Tensor, g: Tensor) -> None:
        relevance = activation.detach() * g
        name = names[index]
        found[name] = found[name] + relevance if name in found else relevance

    inputs = recording.backward(composite, initial, read, last=True)
    for index, name in enumerate(names):  # a branch that gets no relevance is not visited
        if name not in found:
            found[name] = torch.zeros_like(recording.tapped(index)[-1])
    return found | {name: inputs[name] for name in modules if name in given}
