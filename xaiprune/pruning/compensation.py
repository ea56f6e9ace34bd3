"""Folds what removed units contributed into what stays: closed form, no labels, no training."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import Plan
from xaiprune.pruning.removal.attention import replace_multihead_
from xaiprune.pruning.removal.fold import add_to_output_
from xaiprune.pruning.statistics.inputs import Inputs, consumer_inputs
from xaiprune.pruning.statistics.moments import Moments, Statistics, collect, held_out
from xaiprune.pruning.statistics.ridge import strength, weights_map
from xaiprune.pruning.statistics.samples import DenseSamples, bytes_of, gather, samples
from xaiprune.units import Links, UnitLayer, find_links

COMPENSATIONS = ("none", "mean", "linear")


@torch.inference_mode(False)  # gradients weigh the samples, also if the caller wants none
def compensate(
    model: nn.Module,
    plan: Plan | Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    images: Tensor,
    method: str = "linear",
    *,
    sequential: bool = True,
    statistics: Statistics | None = None,
    dense: DenseSamples | None = None,
    batch_size: int = 32,
) -> nn.Module:
    """A copy of the network whose consumers make up for the plan's units.

    Use it with the plan it was made for: ``masked(compensated, plan, units)`` or ``remove``. Units that
    write into a residual stream have no consumer of their own and are not compensated.

    ``mean`` adds each removed unit's mean contribution to the consumer's bias. ``linear`` predicts the
    removed channels from the kept ones (ridge regression, strength chosen on every fifth image) and adds
    the prediction to the consumer's weights, pixel by pixel or token by token, so a convolution takes
    it at every tap of its kernel. Where a convolution pads with zeros, the prediction has no constant
    term, for a constant would be wrong in the padding; ``mean`` accepts that error at the border.

    Args:
        model: The dense network, in eval mode; unchanged.
        plan: The units to remove.
        units: The network's unit layers.
        images: Reference images (N, 3, H, W), normalised, on the model's device.
        method: ``none``, ``mean`` or ``linear``.
        sequential: Layer by layer, so that each consumer reproduces its dense input from what the network
            pruned and compensated before it really gives it; else all from the dense network at once.
        statistics: The dense network's, from `statistics_of`; collected if None. Not used if sequential.
        dense: What the dense network's consumers read, from `samples_of` on the same images; collected if
            None. Used if sequential only.
        batch_size: Images in one forward of the dense network.

    Raises:
        XaipruneError: If the method is unknown or there are too few images.
    """
    if method not in COMPENSATIONS:
        raise XaipruneError(f"prune.compensate={method} is unknown; choose one of {', '.join(COMPENSATIONS)}")
    if isinstance(plan, Plan):
        plan.check(units)
        plan = plan.removed
    going = {name: tuple(removed) for name, removed in plan.items() if len(removed)}
    compensated = copy.deepcopy(model)
    if method == "none" or not going:
        return compensated
    if len(images) < 2:
        raise XaipruneError("compensation needs at least 2 reference images; raise data.reference_per_class")
    _open_attention_(compensated, units)
    if sequential:
        _sequential_(compensated, going, units, images, method, dense, batch_size)
        return compensated
    if statistics is None:
        statistics = statistics_of(model, units, images, batch_size)
    links = find_links(compensated, units, default_like(images))
    for name, inputs in statistics.inputs.items():
        kept = inputs.kept(going)
        if len(kept) < inputs.channels:
            held = statistics.held_out.get(name)
            fit, checked = statistics.fit[name].only(kept), None if held is None else held.only(kept)
            _fold_(compensated, inputs, kept, fit, checked, method, links)
    return compensated


@torch.inference_mode(False)
def statistics_of(
    model: nn.Module, units: Sequence[UnitLayer], images: Tensor, batch_size: int = 32
) -> Statistics:
    """The dense network's statistics: one pass over the reference images, for every plan and trial.

    Args:
        model: The dense network, in eval mode.
        units: Its unit layers.
        images: Reference images (N, 3, H, W).
        batch_size: Images in one forward.
    """
    model, inputs = _consumers(model, units, images)
    return collect(model, inputs, images, batch_size)


@torch.inference_mode(False)
def samples_of(
    model: nn.Module,
    units: Sequence[UnitLayer],
    images: Tensor,
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
        at_most: Bytes that they may take; None: any number.

    Returns:
        None if they would take more.
    """
    model, inputs = _consumers(model, units, images)
    if at_most is not None and bytes_of(model, inputs, images) > at_most:
        return None
    return gather(model, inputs, images, batch_size)


def _consumers(
    model: nn.Module, units: Sequence[UnitLayer], images: Tensor
) -> tuple[nn.Module, dict[str, Inputs]]:
    """A network that shows what all its consumers read, and what that is."""
    if any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        model = copy.deepcopy(model)
        _open_attention_(model, units)
    return model, consumer_inputs(model, units, find_links(model, units, default_like(images)))


def default_like(images: Tensor) -> Tensor:
    """One blank image of the same size."""
    return torch.zeros_like(images[:1])


def _open_attention_(model: nn.Module, units: Sequence[UnitLayer]) -> None:
    """Heads of torch's own attention can only be seen in a module that calls its projection."""
    for layer in units:
        if layer.kind == "heads" and isinstance(model.get_submodule(layer.name), nn.MultiheadAttention):
            replace_multihead_(model, layer.name)


def _sequential_(
    model: nn.Module,
    going: Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    images: Tensor,
    method: str,
    dense: DenseSamples | None,
    batch_size: int,
) -> None:
    """Compensate consumer after consumer during one forward of all images through the pruned network.

    When a consumer is about to run, everything before it is pruned and compensated already, so its
    weights are changed then, and it runs on with them.
    """
    links = find_links(model, units, default_like(images))
    inputs = consumer_inputs(model, units, links)
    inputs = {name: wanted for name, wanted in inputs.items() if len(wanted.removed(going))}
    # Of the pass made here each consumer's samples are let go once they are used.
    truth = dict((dense or gather(model, inputs, images, batch_size)).seen)
    handles = []
    for name, wanted in inputs.items():

        def fold(module: nn.Module, args: tuple[Tensor, ...], wanted: Inputs = wanted) -> None:
            kept = wanted.kept(going)
            x, weight = truth.pop(wanted.module)
            y = samples(module, args[0], wanted, len(images), len(images))[:, kept]
            held = held_out(torch.arange(len(images))).repeat_interleave(len(y) // len(images)).to(y.device)
            # Where nothing before it was pruned, its kept inputs are the dense ones.
            same = torch.equal(x[:, kept], y)
            fit, checked = (
                Moments.of(x[part], weight[part]).only(kept)
                if same
                else Moments.of(x[part], weight[part], y[part])
                for part in (~held, held)
            )
            _fold_(model, wanted, kept, fit, checked if bool(held.any()) else None, method, links)

        handles.append(model.get_submodule(name).register_forward_pre_hook(fold))
    try:
        with torch.no_grad(), masked(model, going, units):
            model(images)
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _fold_(
    model: nn.Module,
    inputs: Inputs,
    kept: Tensor,
    fit: Moments,
    held: Moments | None,
    method: str,
    links: Links,
) -> None:
    """Change one consumer so that it does without the removed channels, in place."""
    layer = model.get_submodule(inputs.module)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    taps = inputs.taps(weight)  # (out, C, taps)
    everything = fit if held is None else fit + held
    if method == "mean":
        constant = everything.plain_x / everything.count
        constant[kept] -= everything.plain_y / everything.count
    else:
        centred = not inputs.padded
        gram = torch.einsum("oct,odt->cd", taps, taps)
        ridge = strength(fit, held, kept, centred, gram)
        change, constant = weights_map(everything, kept, ridge, centred)  # (C, K), (C,)
        taps[:, kept] += torch.einsum("oct,ck->okt", taps, change)
    add_to_output_(layer, _constant(weight, inputs, constant), _norm(model, inputs, links))
    gone = torch.ones(inputs.channels, dtype=torch.bool)
    gone[kept] = False
    taps[:, gone] = 0
    weight.copy_(taps.reshape(weight.shape))


def _constant(weight: Tensor, inputs: Inputs, constant: Tensor) -> Tensor:
    """What a constant input adds to each output, (out,)."""
    return inputs.taps(weight).sum(2) @ constant.to(weight.device)


def _norm(model: nn.Module, inputs: Inputs, links: Links) -> nn.Module | None:
    name = links.norms.get(inputs.module)
    return None if name is None else model.get_submodule(name)
