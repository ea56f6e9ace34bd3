"""Criteria from the gradient of the right class's logit at the units: plain autograd, no relevance rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from xaiprune.attribution.criteria.batches import batches, check, right_logits, untouched
from xaiprune.attribution.criteria.taps import captured, per_unit, require_all
from xaiprune.attribution.criteria.types import Scores, SelectsLogits
from xaiprune.attribution.targets import Labels, labels_of, normal
from xaiprune.embedding import Leaves
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_found, count_of, part_of, run
from xaiprune.registry import register_criterion
from xaiprune.units import ImageAxis, UnitLayer, image_axes
from xaiprune.units.batch_norm import BatchNormWrittenOut

ActivationsAndGradients = dict[str, list[tuple[Tensor, Tensor]]]
"""Unit layer name -> (activation, gradient of the right logit) of every call of its tap."""

Axes = dict[str, list[ImageAxis]]
"""Unit layer name -> which part of the tapped tensor belongs to which image, for every call of its tap."""


@register_criterion("taylor")
def taylor(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Sum over images of |sum over positions of activation * gradient| (Molchanov et al. 2017).

    On ReLU networks this is LRP-epsilon with epsilon 0, started at the logit, aggregated by ``abs_of_sum``.
    """
    return _sum_over_images(model, images, labels, units, task, batch_size, torch.mul, torch.abs)


@register_criterion("fisher")
def fisher(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Sum over images of (sum over positions of activation * gradient)^2.

    The form of Theis et al. 2018 (also Molchanov et al. 2019), here of the logit where they
    differentiate the loss.
    """
    return _sum_over_images(model, images, labels, units, task, batch_size, torch.mul, torch.square)


@register_criterion("gradient")
def gradient(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
) -> Scores:
    """Sum of |gradient| over images, positions and a unit's channels."""
    return _sum_over_images(model, images, labels, units, task, batch_size, lambda _, g: g.abs())


@register_criterion("integrated_gradients")
def integrated_gradients(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None = None,
    *,
    seed: int = 0,
    batch_size: int = 32,
    n_steps: int = 16,
) -> Scores:
    """Sum over images of |integrated gradient of each unit|, the path running over the inputs.

    The image fades in from zero (the mean colour) along a straight line; of text, the embeddings do. A unit's
    share of the change of the logit is the integral of gradient times change of activation, its conductance
    (Dhamdhere et al. 2019, as summed by Shrikumar et al. 2018), by the trapezoidal rule over ``n_steps``
    pieces:

        sum_k (g_k + g_{k-1}) / 2 * (a_k - a_{k-1})

    Over all units of a layer that cuts the network this adds up to logit(image) - logit(0).
    """
    if n_steps < 1:
        raise XaipruneError(f"criterion integrated_gradients: n_steps must be at least 1, got {n_steps}")
    scores = _zeros(units)
    with untouched(model):
        size, axes = axes_and_size(model, images, labels, units, task, batch_size)
        for part, part_labels in batches(model, images, labels, size):
            shares = conductance(model, part, part_labels, units, task, n_steps, axes)
            for unit in units:
                scores[unit.name] += _over_images(shares[unit.name].abs())
    return scores


def conductance(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None,
    n_steps: int,
    axes: Axes | None = None,
) -> dict[str, Tensor]:
    """Integrated gradient of every unit for one batch, signed: unit layer name -> (N, units)."""
    count = count_of(images)
    shares: dict[str, Tensor] = {}
    before = activations_and_gradients(model, images, labels, units, task, scale=0.0)
    for step in range(1, n_steps + 1):
        now = activations_and_gradients(model, images, labels, units, task, scale=step / n_steps)
        for unit in units:
            calls = zip(now[unit.name], before[unit.name], strict=True)
            for call, ((a, g), (a_before, g_before)) in enumerate(calls):
                step_sums = (g + g_before) * (a - a_before) / 2
                share = per_unit(step_sums, unit, count, _axis(axes, unit, call))
                shares[unit.name] = shares[unit.name] + share if unit.name in shares else share
        before = now
    return shares


def activations_and_gradients(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None,
    of: int | None = None,
    scale: float = 1.0,
) -> ActivationsAndGradients:
    """Activations at the taps and the right logits' gradients there, for one batch.

    The backward stops at the lowest tap, and no gradient of a weight is computed.

    Args:
        model: In eval mode.
        images: (N, 3, H, W), or text.
        labels: (N,), or of each position.
        units: Where to read.
        task: As for criteria.
        of: How many images' logits count; None: all.
        scale: Multiplies the pixels, or the embeddings.
    """
    # Works inside a caller's no_grad or inference_mode; the images carry the graph, whether or not weights
    # require grad.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        as_found(model),
        BatchNormWrittenOut(),
        captured(model, units) as store,
    ):
        outputs = Leaves(images, scale).run(model)
        total = right_logits(outputs, normal(labels), task)[:of].sum()
    require_all(store, units)
    tensors = [tensor for unit in units for tensor in store[unit.name]]
    gradients = iter(torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True))
    return {unit.name: [(tensor.detach(), next(gradients)) for tensor in store[unit.name]] for unit in units}


def axes_and_size(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None,
    batch_size: int,
) -> tuple[int, Axes | None]:
    """How many images a forward may take so that each one's share can be told, and how it is told."""
    check(images, labels, batch_size)
    if min(count_of(images), batch_size) == 1:
        return 1, None
    two = slice(0, 2)
    pair, pair_labels = next(batches(model, part_of(images, two), labels_of(labels, two), 2))
    with torch.inference_mode(False), torch.no_grad(), captured(model, units, keep=torch.clone) as store:
        run(model, part_of(pair, slice(0, 1)))
    both = activations_and_gradients(model, pair, pair_labels, units, task, of=1)
    channels = [unit.dim for unit in units]
    axes = image_axes(channels, [store[unit.name] for unit in units], [both[unit.name] for unit in units])
    return (1, None) if axes is None else (batch_size, {u.name: a for u, a in zip(units, axes, strict=True)})


def _axis(axes: Axes | None, unit: UnitLayer, call: int) -> ImageAxis:
    return ImageAxis() if axes is None else axes[unit.name][call]


def _sum_over_images(
    model: nn.Module,
    images: Inputs,
    labels: Labels,
    units: Sequence[UnitLayer],
    task: SelectsLogits | None,
    batch_size: int,
    product: Callable[[Tensor, Tensor], Tensor],
    size: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> Scores:
    """Sum over images of the size of the sum over positions of a product of activation and gradient."""
    scores = _zeros(units)
    with untouched(model):
        batch_size, axes = axes_and_size(model, images, labels, units, task, batch_size)
        for part, part_labels in batches(model, images, labels, batch_size):
            taken = activations_and_gradients(model, part, part_labels, units, task)
            for unit in units:
                sums = [
                    per_unit(product(a, g), unit, count_of(part), _axis(axes, unit, call))
                    for call, (a, g) in enumerate(taken[unit.name])
                ]
                scores[unit.name] += _over_images(size(torch.stack(sums).sum(0).double()))
    return scores


def _over_images(per_sample: Tensor) -> Tensor:
    return per_sample.sum(0, dtype=torch.float64).cpu()


def _zeros(units: Sequence[UnitLayer]) -> Scores:
    return {unit.name: torch.zeros(unit.units, dtype=torch.float64) for unit in units}
