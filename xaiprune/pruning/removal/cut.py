"""Makes a network smaller by a plan; units that cannot be removed become zeros in the weights."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, dtype_of, logits_of, part_of, random_inputs, run
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import PlanLike, units_to_remove
from xaiprune.pruning.removal.attention import replace_multihead_
from xaiprune.pruning.removal.constants import Constants
from xaiprune.pruning.removal.coupling import find_groups
from xaiprune.pruning.removal.fold import zero_units_
from xaiprune.units import (
    FORWARD_ERRORS,
    Cuts,
    Links,
    UnitLayer,
    copied,
    cut_,
    default_example,
    evaluating,
    find_links,
    merged,
    record_calls,
    shrink_heads_,
    weight_dim,
)

log = logging.getLogger(__name__)

# Differences relative to the largest logit. What float32 rounds: at best, in the weights alone, and at worst.
_SURE, _EXACT, _ROUGH = 1e-6, 1e-5, 1e-4
_TINY = 1e-30  # all logits zero
_UNEVEN = "groups of heads that share keys and values lose as many heads as all of them do"


@dataclass
class Removal:
    """A smaller network, and what became of the plan's units.

    Attributes:
        model: The smaller network.
        removed: Unit layer -> how many of its units were removed from the tensors.
        masked: Unit layer -> how many of its units are zeros in the weights instead, and why.
        replaced: Attention modules that were replaced because their heads could not be removed otherwise.
    """

    model: nn.Module
    removed: dict[str, int] = field(default_factory=dict)
    masked: dict[str, tuple[int, str]] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        masked_units = sum(count for count, _ in self.masked.values())
        removed_units = sum(self.removed.values())
        return f"Removal({type(self.model).__name__}: {removed_units} units removed, {masked_units} masked)"

    def summary(self) -> str:
        """How many units were removed; then a line per reason why others were only masked."""
        lines = [f"removed {sum(self.removed.values())} units in {len(self.removed)} layers"]
        reasons: dict[str, int] = {}
        for count, reason in self.masked.values():
            reasons[reason] = reasons.get(reason, 0) + count
        lines += [f"masked {count} units: {reason}" for reason, count in reasons.items()]
        return "\n".join(lines)


def remove(
    model: nn.Module,
    plan: PlanLike,
    units: Sequence[UnitLayer],
    example: Inputs | None = None,
    coupled: str = "mask",
) -> nn.Module:
    """The smaller network alone; see `remove_with_report`."""
    return remove_with_report(model, plan, units, example, coupled).model


def remove_with_report(
    model: nn.Module,
    plan: PlanLike,
    units: Sequence[UnitLayer],
    example: Inputs | None = None,
    coupled: str = "mask",
    *,
    check: bool = True,
) -> Removal:
    """Make a smaller copy of a network that computes what the masked network computes (in eval mode).

    Args:
        model: The network; unchanged.
        plan: The units to remove.
        units: The network's unit layers.
        example: One input (1, 3, H, W); zeros of the default size if None.
        coupled: What happens to units that write into a residual stream: ``mask`` keeps them as zeros,
            ``group`` removes channels that the plan removes from every layer of the stream (make such plans
            with `xaiprune.pruning.couple`), and keeps the others as zeros.
        check: Compare the smaller network with the masked one before it is returned.

    Raises:
        XaipruneError: If the plan is for another network, would empty a layer, or the smaller network
            does not give the masked one's output.
    """
    if coupled not in ("mask", "group"):
        raise XaipruneError(f"prune.coupled={coupled} is unknown; choose mask or group")
    example = default_example(model) if example is None else as_input(model, part_of(example, slice(1)))
    layers = {layer.name: layer for layer in units}
    removed = units_to_remove(plan, units)
    for name, chosen in removed.items():
        if len(chosen) >= layers[name].units:
            raise XaipruneError(f"the plan would leave nothing of {name}; raise prune.min_units")
    work = _Work(model, removed, units, example, find_links(model, units, example), coupled == "group")
    result = work.result({})
    if check and (reason := work.difference(result.model)):
        result = work.result(work.to_mask())
        if reason := work.difference(result.model):
            raise XaipruneError(f"{type(model).__name__} {reason}; use the mask")
    for line in result.summary().splitlines():
        log.debug("%s", line)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in result.model.named_parameters():
        parameter.grad = None
        if name in frozen:  # cutting makes new parameters
            parameter.requires_grad_(False)
    return result


@dataclass(frozen=True)
class _Work:
    """One plan for one network."""

    model: nn.Module
    removed: Mapping[str, Sequence[int]]
    units: Sequence[UnitLayer]
    example: Inputs
    links: Links
    grouped: bool

    def result(self, only_mask: Mapping[str, str]) -> Removal:
        """The smaller network.

        Args:
            only_mask: Layers whose units are not to be cut -> why.
        """
        result = Removal(copied(self.model))
        result.model.eval()
        cuts: dict[str, Cuts] = {}
        inputs: list[dict[str, list[int]]] = []
        cut_units: dict[str, Sequence[int]] = {}
        constants = Constants(self.model, self.removed, self.units, self.example)
        for layer in self.units:
            chosen = self.removed.get(layer.name, ())
            if layer.heads or not chosen:
                continue
            if reason := only_mask.get(layer.name) or self.links.why_not(layer):
                result.masked[layer.name] = (len(chosen), reason)
                continue
            slices = self.links.reaches[layer.name].slices
            cuts[layer.name], cut_units[layer.name] = slices.cuts(chosen), chosen
            inputs.append(slices.inputs(chosen))
        if self.grouped:
            for names, slices in find_groups(self.model, self.units, self.example).items():
                shared = sorted(set.intersection(*(set(self.removed.get(name, ())) for name in names)))
                if shared and constants.foldable(slices.inputs(shared)) and not set(names) & set(only_mask):
                    cuts[names[0]] = slices.cuts(shared)
                    cut_units |= dict.fromkeys(names, shared)
                    inputs.append(slices.inputs(shared))
        heads = self._shrink_attention(result, only_mask)
        zeroed = {}
        for name, chosen in self.removed.items():
            cut = {*cut_units.get(name, ()), *heads.get(name, ())}
            zeroed[name] = [unit for unit in chosen if unit not in cut]
        together = merged(cuts.values())
        for name in constants.fold_(result.model, _joined(inputs), self.links):
            rows = f"{name}.weight", weight_dim(result.model.get_submodule(name), 0)
            if rows in together:
                together[f"{name}.bias", 0] = together[rows]
        zero_units_(result.model, {n: u for n, u in zeroed.items() if n not in heads}, self.units)
        cut_(result.model, together)
        _report(result, self.removed, zeroed)
        return result

    def _shrink_attention(self, result: Removal, only_mask: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
        """Remove heads from every attention module that allows it; returns the removed heads of each."""
        layers = {layer.name: layer for layer in self.units if layer.heads}
        wanted = {name: units for name, units in self.removed.items() if name in layers and units}
        shrunk: dict[str, tuple[int, ...]] = {}
        for name in wanted:
            if isinstance(result.model.get_submodule(name), nn.MultiheadAttention):
                replace_multihead_(result.model, name)
                result.replaced.append(name)
        calls = record_calls(result.model, list(wanted), self.example) if wanted else {}
        for name, units in wanted.items():
            try:
                if reason := only_mask.get(name) or self.links.why_not(layers[name]):
                    raise XaipruneError(f"{name}: {reason}")
                former = type(result.model.get_submodule(name))
                shrunk[name] = shrink_heads_(result.model, layers[name], units, calls[name])
                if type(result.model.get_submodule(name)) is not former:
                    result.replaced.append(name)
                if left := len(units) - len(shrunk[name]):
                    result.masked[name] = (left, _UNEVEN)
            except XaipruneError as error:
                result.masked[name] = (len(units), str(error))
                zero_units_(result.model, {name: units}, [layers[name]])
        return shrunk

    @torch.no_grad()
    def difference(self, smaller: nn.Module) -> str:
        """What is wrong with the smaller network, compared with the masked one; empty if nothing.

        In float32, sums over fewer terms differ a little, and where logits are small differences of large
        numbers that little is much of them. So what is not the same at once is compared again in float64.
        """
        images = random_inputs(self.model, self.example, 2)
        allowed = _EXACT if dtype_of(self.model) == torch.float64 else _ROUGH
        try:
            relative = self._relative(self.model, smaller, images)
            if not relative <= _SURE and dtype_of(self.model) == torch.float32:
                with suppress(*FORWARD_ERRORS):  # a forward that makes float32 tensors by itself
                    model, double = copied(self.model).double(), copied(smaller).double()
                    relative, allowed = self._relative(model, double, as_input(double, images)), _EXACT
        except XaipruneError:
            raise
        except FORWARD_ERRORS as error:
            return f"does not run after removal ({str(error).partition(chr(10))[0]})"
        if relative <= allowed:
            return ""
        return f"gives other logits after removal than with the mask (by {relative:.1e} of the largest)"

    def _relative(self, model: nn.Module, smaller: nn.Module, images: Inputs) -> float:
        with evaluating(model), masked(model, self.removed, self.units):
            expected = logits_of(run(model, images))
        if not bool(expected.isfinite().all()):
            raise XaipruneError(
                f"{type(model).__name__}'s logits are not finite with the plan's units masked"
            )
        found = logits_of(run(smaller, images))
        return float((expected - found).abs().max() / expected.abs().max().clamp_min(_TINY))

    def to_mask(self) -> dict[str, str]:
        """The layers that, alone, cannot be removed -> why."""
        found = {}
        for layer in self.units:
            if self.removed.get(layer.name):
                alone = replace(self, removed={layer.name: self.removed[layer.name]}, grouped=False)
                if reason := alone.difference(alone.result({}).model):
                    found[layer.name] = f"the network {reason}"
        return found


def _joined(inputs: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, list[int]]:
    """Reader -> all of its input channels that are cut."""
    found: dict[str, set[int]] = {}
    for each in inputs:
        for name, channels in each.items():
            found.setdefault(name, set()).update(channels)
    return {name: sorted(channels) for name, channels in found.items()}


def _report(
    result: Removal, removed: Mapping[str, Sequence[int]], zeroed: Mapping[str, Sequence[int]]
) -> None:
    """Count what was removed, and correct what was noted as masked by what groups have removed."""
    for name, chosen in removed.items():
        if len(chosen) > len(zeroed[name]):
            result.removed[name] = len(chosen) - len(zeroed[name])
        if not zeroed[name]:
            result.masked.pop(name, None)
        elif name in result.masked:
            result.masked[name] = (len(zeroed[name]), result.masked[name][1])
