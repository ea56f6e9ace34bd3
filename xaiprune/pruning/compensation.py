"""Folds what removed units contributed into the kept weights: closed form, no labels, no training."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, run
from xaiprune.progress import progress
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import PlanLike, units_to_remove
from xaiprune.pruning.removal import add_to_output_, replace_multihead_
from xaiprune.pruning.statistics import (
    ConsumerInputs,
    DenseSamples,
    ImageStream,
    Moments,
    Statistics,
    all_samples,
    bytes_of_samples,
    choose_ridge,
    collect_moments,
    consumer_inputs,
    dense_samples,
    moments_by_part,
    ridge_map,
    samples_of_input,
    told_apart,
)
from xaiprune.units import ImageAxis, UnitLayer, copied, find_links, weight_of

COMPENSATIONS = ("none", "mean", "linear")
_BAR = "compensating"


@torch.inference_mode(False)  # samples are weighted by gradients, even if the caller disabled them
def compensate(
    model: nn.Module,
    plan: PlanLike,
    units: Sequence[UnitLayer],
    images: Inputs | ImageStream,
    method: str = "linear",
    *,
    sequential: bool = True,
    statistics: Statistics | None = None,
    dense: DenseSamples | None = None,
    batch_size: int = 32,
) -> nn.Module:
    """A copy of the network whose consumers make up for the plan's units.

    Use it with the same plan: ``masked(compensated, plan, units)`` or ``remove(compensated, plan, units)``.
    Units that write into a residual stream have no consumer of their own and are not compensated.

    ``mean`` adds each removed unit's mean contribution to the consumer's bias. ``linear`` predicts the
    removed channels from the kept ones (ridge regression, its strength chosen on every fifth image) and
    folds the prediction into the consumer's weights. It predicts pixel by pixel or token by token, so in a
    convolution it applies at every tap of the kernel. Where a convolution pads with zeros, the prediction
    has no constant term, because a constant would be wrong in the padding; ``mean`` accepts that error at
    the border.

    Args:
        model: The dense network, in eval mode; unchanged.
        plan: The units to remove.
        units: The network's unit layers.
        images: Reference images (N, 3, H, W), normalised, on the model's device; or a stream of any number of
            images, of which one batch is in memory.
        method: ``none``, ``mean`` or ``linear``.
        sequential: Layer by layer: each consumer reproduces its dense input from the input that it really
            gets, after the layers before it were pruned and compensated. Else all consumers at once, from
            the dense network's statistics.
        statistics: The dense network's, from `statistics_of`; collected if None. Not used if sequential.
        dense: What the dense network's consumers read, from `samples_of` on the same images; collected if
            None. Used if sequential only, and not of a stream.
        batch_size: Images in one forward of the dense network.

    Raises:
        XaipruneError: If the method is unknown or there are too few images.
    """
    if method not in COMPENSATIONS:
        raise XaipruneError(f"prune.compensate={method} is unknown; choose one of {', '.join(COMPENSATIONS)}")
    removed = {name: chosen for name, chosen in units_to_remove(plan, units).items() if chosen}
    compensated = copied(model)
    if method == "none" or not removed:
        return compensated
    if ImageStream.of(images, 1).count < 2:
        raise XaipruneError("compensation needs at least 2 reference images; raise data.reference_per_class")
    _replace_multiheads_(compensated, units)
    if sequential:
        if isinstance(images, ImageStream):
            _sequential_streamed_(compensated, model, removed, units, images, method)
        else:
            _sequential_(compensated, model, removed, units, images, method, dense, batch_size)
        return compensated
    if statistics is None:
        statistics = statistics_of(model, units, images, batch_size)
    for name, inputs in progress(statistics.inputs.items(), _BAR):
        kept = inputs.kept(removed)
        if len(kept) < inputs.channels:
            held = statistics.held_out.get(name)
            fit, checked = statistics.fit[name].only(kept), None if held is None else held.only(kept)
            _fold_(compensated, inputs, kept, fit, checked, method)
    return compensated


@torch.inference_mode(False)
def statistics_of(
    model: nn.Module, units: Sequence[UnitLayer], images: Inputs | ImageStream, batch_size: int = 32
) -> Statistics:
    """The dense network's statistics: one pass over the reference images, for every plan and trial.

    Args:
        model: The dense network, in eval mode.
        units: Its unit layers.
        images: Reference images (N, 3, H, W), or a stream of any number.
        batch_size: Images in one forward, if they are not a stream.
    """
    stream = ImageStream.of(images, batch_size)
    return collect_moments(*_consumers(model, units, stream), stream)


@torch.inference_mode(False)
def samples_of(
    model: nn.Module,
    units: Sequence[UnitLayer],
    images: Inputs,
    batch_size: int = 32,
    *,
    at_most: int | None = None,
) -> DenseSamples | None:
    """What the dense network's consumers read: one pass, for every plan that is compensated layer by layer.

    Args:
        model: The dense network, in eval mode.
        units: Its unit layers.
        images: Reference images (N, 3, H, W).
        batch_size: Images in one forward and backward.
        at_most: Bytes that the samples may take; None: any number.

    Returns:
        The samples; None if they would take more.
    """
    stream = ImageStream.of(images, batch_size)
    model, inputs = _consumers(model, units, stream)
    if at_most is not None and bytes_of_samples(model, inputs, stream) > at_most:
        return None
    return all_samples(model, inputs, stream)


def inputs_of(model: nn.Module, units: Sequence[UnitLayer], example: Inputs) -> dict[str, ConsumerInputs]:
    """What each consumer of removable units reads, in execution order; nothing is measured.

    Args:
        model: The dense network, in eval mode.
        units: Its unit layers.
        example: One input, (1, 3, H, W).
    """
    return _consumers(model, units, ImageStream.of(example, 1))[1]


def _consumers(
    model: nn.Module, units: Sequence[UnitLayer], images: ImageStream
) -> tuple[nn.Module, dict[str, ConsumerInputs]]:
    """The network, in which all its consumers can be hooked and have plain weights, and what they read."""
    if any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        model = copied(model)
        _replace_multiheads_(model, units)
    return model, consumer_inputs(model, units, find_links(model, units, images.example()))


def _replace_multiheads_(model: nn.Module, units: Sequence[UnitLayer]) -> None:
    """Torch's own attention never calls its output projection, so hooks on that would see nothing."""
    for layer in units:
        if isinstance(model.get_submodule(layer.name), nn.MultiheadAttention):
            replace_multihead_(model, layer.name)


def _sequential_(
    model: nn.Module,
    source: nn.Module,
    removed: Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    images: Inputs,
    method: str,
    dense: DenseSamples | None,
    batch_size: int,
) -> None:
    """Compensate consumer after consumer during one forward of all images through the pruned network.

    Where it cannot be told what a consumer reads of which image, the images are streamed one by one.

    When a consumer is about to run, everything before it is pruned and compensated already. Its weights are
    changed at that moment, and it runs with the new ones.
    """
    stream = ImageStream.of(images, batch_size)
    inputs = _to_compensate(model, removed, units, stream)
    dense = dense or all_samples(model, inputs, stream)
    if dense.axes is None:
        _sequential_streamed_(model, source, removed, units, stream, method)
        return
    axes = dense.axes
    # A copy of the dictionary: samples that were collected here are freed as soon as they have been used.
    seen = dict(dense.seen)
    del dense
    bar = progress(inputs, _BAR)  # they are reached in one forward, which no loop goes through
    with closing(bar), ExitStack() as hooks, torch.no_grad(), masked(model, removed, units):
        next(bar, None)
        for name, own in inputs.items():

            def fold(module: nn.Module, args: tuple[Tensor, ...], own: ConsumerInputs = own) -> None:
                kept, numbers = own.kept(removed), torch.arange(len(stream))
                x, weight = seen.pop(own.module)
                axis = axes[own.module]
                y = samples_of_input(module, args[0], own, len(stream), len(stream), axis)[:, kept]
                _fold_(model, own, kept, *_split(numbers, x, weight, y, kept), method)
                next(bar, None)

            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(fold))
        run(model, as_input(model, images))


def _sequential_streamed_(
    model: nn.Module,
    dense: nn.Module,
    removed: Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    images: ImageStream,
    method: str,
) -> None:
    """The same of a stream: a pass over all images, through both networks, for each consumer."""
    inputs = _to_compensate(model, removed, units, images)
    source = copied(dense)
    _replace_multiheads_(source, units)
    images, axes = told_apart(source, inputs, images)
    for name, own in progress(inputs.items(), _BAR):
        kept = own.kept(removed)
        fit: Moments | None = None
        checked: Moments | None = None
        read: list[Tensor] = []
        consumer = model.get_submodule(name)
        passes = zip(images.numbered(), dense_samples(source, {name: own}, images, axes), strict=True)
        for (numbers, part), (_, seen) in passes:
            hook = consumer.register_forward_pre_hook(lambda _, args, into=read: into.append(args[0]))
            with hook, torch.no_grad(), masked(model, removed, units):
                run(model, as_input(model, part))
            axis = ImageAxis() if axes is None else axes[name]
            y = samples_of_input(consumer, read.pop(), own, len(numbers), len(images), axis)[:, kept]
            more = _split(numbers, *seen[name], y, kept)
            fit, checked = _sum(fit, more[0]), _sum(checked, more[1])
        _fold_(model, own, kept, fit, checked, method)


def _to_compensate(
    model: nn.Module, removed: Mapping[str, Sequence[int]], units: Sequence[UnitLayer], images: ImageStream
) -> dict[str, ConsumerInputs]:
    """The consumers that lose something, in execution order."""
    inputs = consumer_inputs(model, units, find_links(model, units, images.example()))
    return {name: own for name, own in inputs.items() if len(own.removed(removed))}


def _split(
    numbers: Tensor, x: Tensor, weight: Tensor, y: Tensor, kept: Tensor
) -> tuple[Moments | None, Moments | None]:
    """`moments_by_part` of a consumer's dense input x and its kept input in the pruned network, y."""
    # Where nothing before the consumer was pruned, its kept inputs are the dense ones.
    if not torch.equal(x[:, kept], y):
        return moments_by_part(numbers, x, weight, y)
    fit, checked = (None if of is None else of.only(kept) for of in moments_by_part(numbers, x, weight))
    return fit, checked


def _sum(one: Moments | None, other: Moments | None) -> Moments | None:
    return other if one is None else one if other is None else one + other


@torch.no_grad()
def _fold_(
    model: nn.Module,
    inputs: ConsumerInputs,
    kept: Tensor,
    fit: Moments | None,
    held: Moments | None,
    method: str,
) -> None:
    """Change one consumer so that it makes up for the removed channels, in place."""
    assert fit is not None, "of two images or more, some are not held out"
    layer = model.get_submodule(inputs.module)
    weight = weight_of(layer)
    taps = inputs.taps(weight)  # (out, C, taps)
    everything = fit if held is None else fit + held
    if method == "mean":
        constant = everything.plain_x / everything.count
        constant[kept] -= everything.plain_y / everything.count
    else:
        centred = not inputs.padded
        gram = torch.einsum("oct,odt->cd", taps, taps)
        ridge = choose_ridge(fit, held, kept, centred, gram)
        change, constant = ridge_map(everything, kept, ridge, centred)  # (C, K), (C,)
        taps[:, kept] += torch.einsum("oct,ck->okt", taps, change)
    shift = inputs.taps(weight).sum(2) @ constant.to(weight.device)  # what a constant input adds, (out,)
    add_to_output_(layer, shift, None if inputs.norm is None else model.get_submodule(inputs.norm))
    removed = torch.ones(inputs.channels, dtype=torch.bool)
    removed[kept] = False
    taps[:, removed] = 0
    weight.copy_(taps.reshape(weight.shape))
