"""Relevance of a network's units on reference images: batches, memory, checks around the LRP pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args, overload

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.taps import images_first
from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.attribution.lrp.composite import PLAIN_GRADIENT, Composite
from xaiprune.attribution.lrp.engine.linear_call import WeightCache
from xaiprune.attribution.lrp.engine.recorder import TapPoint
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.lrp.rules import stabilized
from xaiprune.attribution.relevance import Relevance
from xaiprune.attribution.targets import (
    Labels,
    check_fit,
    check_labels,
    confidence,
    labels_of,
    normal,
    target_values,
    weighted_sum,
)
from xaiprune.errors import UnsupportedOperation, XaipruneError
from xaiprune.forward import Inputs, as_found, as_input, count_of, logits_of, part_of, run
from xaiprune.progress import progress
from xaiprune.units.flow import device_of
from xaiprune.units.image_axis import ImageAxis, image_axes
from xaiprune.units.layer import UnitLayer

Start = Literal["one", "logit", "contrast"]

_CPU_BUDGET = 2 * 2**30
_BLOCK = 2**18  # elements, a megabyte: relevance is summed in blocks that stay in the cache


@overload
def attribute(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    composite: Composite,
    *,
    task: SelectsLogits | None = None,
    start: Start = "logit",
    batch_size: int = 32,
    memory_budget: int | None = None,
) -> Relevance: ...
@overload
def attribute(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    composite: Sequence[Composite],
    *,
    task: SelectsLogits | None = None,
    start: Start | Sequence[Start] = "logit",
    batch_size: int = 32,
    memory_budget: int | None = None,
) -> list[Relevance]: ...
def attribute(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    composite: Composite | Sequence[Composite],
    *,
    task: SelectsLogits | None = None,
    start: Start | Sequence[Start] = "logit",
    batch_size: int = 32,
    memory_budget: int | None = None,
) -> Relevance | list[Relevance]:
    """Layer-wise relevance of every unit for every image.

    The forward of a batch runs once; each composite costs one modified backward that stops at the lowest
    unit layer. The model is left exactly as it was.

    Args:
        model: In eval mode.
        images: (N, 3, H, W), normalised; or text, as ids (N, T) or a dict of tensors
            (`xaiprune.forward.Inputs`). Moved to the model's device batch by batch.
        labels: (N,) int64, index of the right class among the task's classes. Of a language model (N, T)
            int64: the token whose logit is explained at each position (the next one), -100 where none is; or
            `TokenTargets`. A unit's relevance is summed over the positions of a text.
        units: Where to read relevance (`xaiprune.units.find_units`).
        composite: One composite, or several that share the forward.
        task: Picks the task's logits (a `data.Task`); None: the model's outputs are the classes.
        start: Relevance of the right class's logit z. ``one``: R = 1, which weights each image by 1/z
            against ``logit``: R = z. ``contrast``: gradient of the class's log-probability among the task's
            classes, so that the other classes' logits count against it. One for all, or one per composite.
        batch_size: Images in one forward, at most.
        memory_budget: Bytes that one batch's activations may take; the batch shrinks to fit. By default
            2 GiB on a CPU, and 70 % of what is free on a GPU.

    Returns:
        One `Relevance`, or one per composite.

    Raises:
        XaipruneError: No images, labels outside the classes or of another form than the logits, NaN in the
            images, a composite whose pattern matches nothing, a network that the engine does not support.
    """
    composites = [composite] if isinstance(composite, Composite) else list(composite)
    starts: list[Start] = [start] * len(composites) if isinstance(start, str) else list(start)
    _check(images, labels, units, composites, starts)
    device = device_of(model)
    weights = WeightCache()
    taps = _taps(units)
    count = count_of(images)
    per_image, axes = _probe(
        model, part_of(images, slice(0, 2)), labels, units, weights, task, min(batch_size, count)
    )
    most = 1 if axes is None else batch_size
    size = max(1, min(most, _budget(memory_budget, device) // max(1, per_image)))
    sums = [_Sums(units, axes, count) for _ in composites]
    confidences: list[Tensor] = []
    first = 0

    def left() -> Iterator[int]:
        while first < count:
            yield first

    for begin in progress(left(), "attributing the reference images", total=-(-count // size)):
        part = slice(begin, min(begin + size, count))
        batch, target = as_input(model, part_of(images, part)), labels_of(labels, part, device)
        try:
            recording = Recording(model, batch, taps, weights=weights, several=len(composites) > 1)
            for into, rules, at_logits in zip(sums, composites, starts, strict=True):
                into.begin(part)
                initial = initial_relevance(recording.logits, target, at_logits, task)
                recording.backward(rules, initial, into.add)
        except torch.OutOfMemoryError:
            if size == 1:
                raise XaipruneError(
                    "attribution ran out of memory with one image per batch; use a smaller input size"
                ) from None
            size = max(1, size // 2)
            continue
        confidences.append(confidence(_selected(recording.logits, task), target).cpu())
        first = part.stop
    found = [into.relevance(torch.cat(confidences)) for into in sums]
    return found[0] if isinstance(composite, Composite) else found


class _Sums:
    """Relevance of every unit under one composite, summed up batch by batch."""

    def __init__(
        self, units: Sequence[UnitLayer], axes: Sequence[Sequence[ImageAxis]] | None, images: int
    ) -> None:
        self._units, self._axes = units, axes
        self._sums = [torch.zeros(images, unit.units) for unit in units]
        self._abs_sums = [torch.zeros(images, unit.units) for unit in units]
        self._part = slice(0, images)

    def begin(self, part: slice) -> None:
        """Start a batch: these images, whose relevance is zero so far."""
        self._part = part
        for total in (*self._sums, *self._abs_sums):
            total[part] = 0

    def add(self, index: int, call: int, activation: Tensor, g: Tensor) -> None:
        """Add what a tap reports (a `Reader`)."""
        start, count = self._part.start, self._part.stop - self._part.start
        unit, axis = self._units[index], self._axes[index][call] if self._axes else ImageAxis()
        a, b = (images_first(tensor, unit, count, axis) for tensor in (activation.detach(), g))
        # Summed for as many images together as fit into the processor's cache; for large layers, one by one.
        step = max(1, _BLOCK // (activation.numel() // count))
        for first in range(0, count, step):
            block = slice(first, min(first + step, count))
            relevance = (a[block] * b[block]).reshape(block.stop - first, -1, unit.units, unit.width)
            images = slice(start + first, start + block.stop)
            self._sums[index][images] += relevance.sum((1, 3)).cpu()
            self._abs_sums[index][images] += relevance.abs_().sum((1, 3)).cpu()

    def relevance(self, confidence: Tensor) -> Relevance:
        """The sums over all batches, with each image's confidence."""
        names = [unit.name for unit in self._units]
        sums, abs_sums = (dict(zip(names, s, strict=True)) for s in (self._sums, self._abs_sums))
        return Relevance(sums, abs_sums, confidence)


def initial_relevance(
    logits: Tensor, target: Labels, start: Start, task: SelectsLogits | None = None
) -> Tensor:
    """Gradient-form relevance g of the logits, so that their relevance is R = g * logits.

    Args:
        logits: (N, outputs), or (N, T, vocabulary).
        target: (N,) index of the right class among the task's classes; (N, T) tokens; or pairs of them.
        start: As for `attribute`.
        task: Picks the task's logits; the gradient through ``task.select`` finds the outputs they come from.

    Returns:
        As the logits.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = logits.detach().clone().requires_grad_()
        target = normal(target)
        selected = _selected(leaf, task)
        z, weights = target_values(selected.log_softmax(-1) if start == "contrast" else selected, target)
        if start == "one":
            z = z / stabilized(z.detach(), 1e-9)
        return torch.autograd.grad(weighted_sum(z, weights), leaf)[0]


def _selected(logits: Tensor, task: SelectsLogits | None) -> Tensor:
    return logits if task is None else task.select(logits)


def _taps(units: Sequence[UnitLayer]) -> list[TapPoint]:
    return [TapPoint(unit.tap, unit.where) for unit in units]


def _probe(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    weights: WeightCache,
    task: SelectsLogits | None,
    batch_size: int,
) -> tuple[int, list[list[ImageAxis]] | None]:
    """Record one image, check that the recorded forward is the plain one, and compare it with two images.

    The check catches what cannot be seen operation by operation, such as a view of a tensor that is changed
    in place later.

    Returns:
        Bytes that one image takes, and which part of each tapped tensor belongs to which image; None where
        images have to run one by one.
    """
    pair = as_input(model, images)
    first = part_of(pair, slice(0, 1))
    recording = Recording(model, first, _taps(units), weights=weights)
    same_as_plain(recording, model, first)
    check_fit(_selected(recording.logits, task), labels)
    per_image = recording.bytes_per_image()
    if batch_size == 1:
        return per_image, None
    one = [recording.tapped(index) for index in range(len(units))]
    try:
        two = _first_of_two(model, pair, units, weights)
    except torch.OutOfMemoryError:
        return per_image, None
    return per_image, image_axes([unit.dim for unit in units], one, two)


def same_as_plain(recording: Recording, model: nn.Module, inputs: Inputs) -> None:
    """Check that a recorded forward is the plain one.

    Raises:
        UnsupportedOperation: It is not.
    """
    with torch.no_grad(), as_found(model):
        plain = logits_of(run(model, inputs))
    scale = plain.abs().max().clamp_min(1e-6)
    if not bool(((recording.logits - plain).abs().max() / scale) < 1e-3):
        raise UnsupportedOperation(
            "the recorded forward of this model differs from its plain forward (an in-place change of a "
            "view, or randomness in eval mode); relevance would be wrong"
        )


def _first_of_two(
    model: nn.Module, pair: Inputs, units: Sequence[UnitLayer], weights: WeightCache
) -> list[list[tuple[Tensor, Tensor]]]:
    """Activations of each unit layer, call by call, and there the gradient of the first image's logits."""
    recording = Recording(model, pair, _taps(units), weights=weights)
    gradients: dict[tuple[int, int], Tensor] = {}

    def read(index: int, call: int, _: Tensor, g: Tensor) -> None:
        gradients[index, call] = g

    initial = torch.zeros_like(recording.logits)
    initial[0] = 1
    recording.backward(PLAIN_GRADIENT, initial, read, last=True)
    tapped = [recording.tapped(index) for index in range(len(units))]
    return [
        [(a, gradients.get((index, call), torch.zeros_like(a))) for call, a in enumerate(calls)]
        for index, calls in enumerate(tapped)
    ]


def _budget(memory_budget: int | None, device: torch.device) -> int:
    if memory_budget is not None:
        return memory_budget
    if device.type == "cuda":
        return int(0.7 * torch.cuda.mem_get_info(device)[0])
    return _CPU_BUDGET


def _check(
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    composites: Sequence[Composite],
    starts: Sequence[str],
) -> None:
    if count_of(images) == 0:
        raise XaipruneError("attribution needs reference images, got none; raise data.reference_per_class")
    check_labels(labels, count_of(images))
    if not units:
        raise XaipruneError("attribution needs unit layers, got none; see units=...")
    if not composites:
        raise XaipruneError("attribution needs at least one composite")
    if len(starts) != len(composites):
        raise XaipruneError(f"attribution: {len(composites)} composites but {len(starts)} starts")
    for start in starts:
        if start not in get_args(Start):
            raise XaipruneError(
                f"attribution: start must be one of {', '.join(get_args(Start))}, got '{start}'"
            )
    if isinstance(images, Tensor) and not bool(images.isfinite().all()):
        bad = int((~images.flatten(1).isfinite().all(1)).nonzero()[0])
        raise XaipruneError(f"attribution: reference image {bad} has NaN or infinite pixels")
