"""Where relevance is lost on its way from the logits to the input, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.linear_call import LinearCall, WeightCache
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.lrp.rules import Rule
from xaiprune.attribution.targets import Labels, check_labels, labels_of
from xaiprune.attribution.unit_relevance import Start, initial_relevance
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, count_of

CAUSES = ("bias", "epsilon", "norm", "activation", "softmax")


@dataclass
class ConservationRow:
    """One layer, norm, activation or attention, in the order in which relevance comes to it.

    Attributes:
        module: Qualified name of the module that it runs in.
        above: Relevance that it was given, summed over everything.
        below: Relevance that it passed on.
        lost: What is missing, by cause: a layer's to its ``bias`` and to its stabilizer (``epsilon``; also
            what a rule leaves out on purpose), any other's to what it is. Negative where it was added.
    """

    module: str
    above: float = 0.0
    below: float = 0.0
    lost: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Conservation:
    """How much relevance there is at each layer, and what became of the rest.

    Attributes:
        start: Relevance of the logits, summed over everything that is explained.
        inputs: Relevance that reached the inputs: pixels, or the embeddings of ids.
        rows: Everything that passes relevance by a rule, from the logits down.
    """

    start: float
    inputs: float
    rows: tuple[ConservationRow, ...]

    @property
    def lost(self) -> dict[str, float]:
        """Relevance lost to each cause, over all rows."""
        return {cause: sum(row.lost.get(cause, 0.0) for row in self.rows) for cause in CAUSES}

    @property
    def elsewhere(self) -> float:
        """What is lost to nothing that has a row: constants that are added (position embeddings, biases of
        attention's logits), and products and norms written out where these have their plain gradient.
        """
        return self.start - self.inputs - sum(self.lost.values())

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("", "above", "below", *CAUSES)]
        rows += [
            (
                row.module or "(the model itself)",
                f"{row.above:.4g}",
                f"{row.below:.4g}",
                *(f"{row.lost[cause]:.2g}" if cause in row.lost else "" for cause in CAUSES),
            )
            for row in self.rows
        ]
        rows.append(("lost to", "", "", *(f"{value:.2g}" for value in self.lost.values())))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(pairs)
            ).rstrip()
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        total = (
            f"relevance of the logits {self.start:.4g}, of the input {self.inputs:.4g}; "
            f"lost elsewhere (constants that are added) {self.elsewhere:.2g}"
        )
        return "\n".join([*lines, "", total])


def conservation(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    composite: Composite,
    *,
    task: SelectsLogits | None = None,
    start: Start = "logit",
) -> Conservation:
    """Follow relevance from the logits to the input and note where it is lost.

    Layer-wise relevance propagation conserves relevance but for what is said here (Bach et al. 2015;
    Montavon et al. 2019). With epsilon, layer j loses
    ``R_j b_j / (z_j + eps)`` to its bias and ``R_j eps / (z_j + eps)`` to the stabilizer.

    Args:
        model: In eval mode; left as it was.
        images: One batch: images (N, 3, H, W), or text.
        labels: What is explained, as for `attribute`.
        composite: Which layer gets which rule.
        task: Picks the task's logits.
        start: Relevance of what is explained.

    Raises:
        XaipruneError: As `attribute`.

    Example:
        >>> print(conservation(model, images, labels, Composite(Epsilon(1e-3))))  # doctest: +SKIP
    """
    check_labels(labels, count_of(images))
    recording = Recording(model, as_input(model, images), (), from_input=True)
    target = labels_of(labels, slice(None), recording.logits.device)
    initial = initial_relevance(recording.logits, target, start, task)
    rows: dict[str, ConservationRow] = {}

    def row(module: str, above: Tensor, below: Tensor, lost: Mapping[str, float]) -> None:
        found = rows.setdefault(module, ConservationRow(module))
        found.above += float(above.sum(dtype=torch.float64))
        found.below += float(below.sum(dtype=torch.float64))
        for cause, value in lost.items():
            found.lost[cause] = found.lost.get(cause, 0.0) + value

    def between(module: str, cause: str, above: Tensor, below: Tensor) -> None:
        row(module, above, below, {cause: _total(above) - _total(below)})

    def layer(call: LinearCall, rule: Rule, g: Tensor, found: Tensor) -> None:
        above = g * call.z
        below = found if rule.input_only else found * call.x.detach()
        missing = _total(above) - _total(below)
        bias = _lost_to_bias(call, rule, g)
        row(call.name, above, below, {"bias": bias, "epsilon": missing - bias})

    recording.follow(between, layer)
    reached = recording.backward(composite, initial, lambda *_: None, last=True)
    return Conservation(
        _total(initial * recording.logits), sum(map(_total, reached.values())), tuple(rows.values())
    )


def _total(values: Tensor) -> float:
    return float(values.detach().sum(dtype=torch.float64))


def _lost_to_bias(call: LinearCall, rule: Rule, g: Tensor) -> float:
    """A bias is the weight of one more input, always 1; the relevance of that input is what it keeps."""
    if call.bias is None or rule.input_only or getattr(rule, "bias", "absorb") == "exclude":
        return 0.0
    widened, place = _with_bias_as_input(call, call.bias)
    return _total((rule.propagate(widened, g) * widened.x)[place])


def _with_bias_as_input(call: LinearCall, bias: Tensor) -> tuple[LinearCall, Any]:
    """The same layer without a bias but with one more input (of each group), and where that is."""
    x, weight, geometry = call.x.detach(), call.weight, call.geometry
    if geometry is None:
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
        weight = torch.cat([weight, bias[:, None]], 1)
        return replace(call, x=x, weight=weight, bias=None, weights=WeightCache()), (..., -1)
    if geometry.transposed:
        raise XaipruneError(
            f"layer {call.name}: what a transposed convolution loses to its bias is not known; "
            "give it a rule with bias: exclude"
        )
    # Ones are beyond the border, too, so the image is padded first; one tap of the kernel reads them.
    space, groups = len(geometry.stride), geometry.groups
    x = F.pad(x, [side for pad in reversed(geometry.padding) for side in (pad, pad)])
    x = x.unflatten(1, (groups, -1))
    ones = torch.ones_like(x[:, :, :1])
    kernel = torch.zeros_like(weight[:, :1])
    first_tap: Any = (slice(None), slice(None), *[0] * space)
    kernel[first_tap] = bias[:, None]
    widened = replace(
        call,
        x=torch.cat([x, ones], 2).flatten(1, 2),
        weight=torch.cat([weight, kernel], 1),
        bias=None,
        weights=WeightCache(),
        geometry=replace(geometry, padding=(0,) * space),
    )
    return widened, (slice(None), slice(x.shape[2], None, x.shape[2] + 1))
