"""Makes a network smaller by a plan; units that cannot be removed become zeros in the weights."""

import copy
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import PlanLike, units_to_remove
from xaiprune.pruning.removal.attention import replace_multihead_
from xaiprune.pruning.removal.constants import Constants
from xaiprune.pruning.removal.coupling import coupled_cuts
from xaiprune.pruning.removal.fold import zero_units_
from xaiprune.pruning.removal.heads import Call, shrink_heads_
from xaiprune.pruning.removal.surgery import Cuts, Surgery
from xaiprune.units import Links, UnitLayer, default_example, evaluating, find_links

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # float32 sums over fewer terms differ a little; a wrong slice differs by far more


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
    example: Tensor | None = None,
    coupled: str = "mask",
) -> nn.Module:
    """The smaller network alone; see `remove_with_report`."""
    return remove_with_report(model, plan, units, example, coupled).model


def remove_with_report(
    model: nn.Module,
    plan: PlanLike,
    units: Sequence[UnitLayer],
    example: Tensor | None = None,
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
    example = default_example(model) if example is None else example[:1]
    layers = {layer.name: layer for layer in units}
    removed = units_to_remove(plan, units)
    for name, chosen in removed.items():
        if len(chosen) >= layers[name].units:
            raise XaipruneError(f"the plan would leave nothing of {name}; raise prune.min_units")
    result = Removal(copy.deepcopy(model).eval())
    links = find_links(model, units, example)
    with Surgery(result.model, example) as surgery:
        cuts, cut_units = Cuts(), {}
        for name, chosen in removed.items():
            if layers[name].where == "output" and chosen:
                found = _layer_cuts(result, surgery, layers[name], chosen, links)
                if found is not None:
                    cuts.add(found)
                    cut_units[name] = chosen
        constants = Constants(model, removed, units, example)
        if coupled == "group":
            for names, shared, found in coupled_cuts(surgery, removed, units):
                if constants.foldable(surgery.inputs(found)):
                    cuts.add(found)
                    cut_units |= dict.fromkeys(names, shared)
        heads = _shrink_attention(result, removed, layers, links, example)
        zeroed = {}
        for name, chosen in removed.items():
            cut = {*cut_units.get(name, ()), *heads.get(name, ())}
            zeroed[name] = [unit for unit in chosen if unit not in cut]
        constants.fold_(result.model, surgery.inputs(cuts), links)
        zero_units_(result.model, {n: u for n, u in zeroed.items() if n not in heads}, units)
        surgery.make_(cuts)
    _report(result, removed, zeroed)
    if check:
        _verify(model, removed, units, result.model, example)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in result.model.named_parameters():
        parameter.grad = None
        if name in frozen:  # cutting makes new parameters
            parameter.requires_grad_(False)
    return result


def _layer_cuts(
    result: Removal, surgery: Surgery, layer: UnitLayer, removed: Sequence[int], links: Links
) -> Cuts | None:
    """The cuts that remove the units; None, with the reason noted, if the units can only be masked."""
    reason = links.why_not(layer)
    if not reason and layer.removable:
        try:
            return surgery.cuts(layer.name, layer.channels(removed).tolist())
        except XaipruneError as error:
            reason = str(error)
    result.masked[layer.name] = (len(removed), reason)
    return None


def _shrink_attention(
    result: Removal,
    removed: Mapping[str, Sequence[int]],
    layers: Mapping[str, UnitLayer],
    links: Links,
    example: Tensor,
) -> dict[str, tuple[int, ...]]:
    """Remove heads from every attention module that allows it; returns the removed heads of each."""
    wanted = {name: units for name, units in removed.items() if layers[name].where == "input" and units}
    shrunk: dict[str, tuple[int, ...]] = {}
    for name in wanted:
        if isinstance(result.model.get_submodule(name), nn.MultiheadAttention):
            replace_multihead_(result.model, name)
            result.replaced.append(name)
    calls = _record_calls(result.model, list(wanted), example) if wanted else {}
    for name, units in wanted.items():
        layer = layers[name]
        try:
            if reason := links.why_not(layer):
                raise XaipruneError(f"{name}: {reason}")
            shrink_heads_(result.model, layer, units, calls[name])
            shrunk[name] = tuple(units)
        except XaipruneError as error:
            result.masked[name] = (len(units), str(error))
            zero_units_(result.model, {name: units}, [layer])
    return shrunk


def _record_calls(model: nn.Module, names: Sequence[str], example: Tensor) -> dict[str, Call]:
    """The arguments with which the network first calls its modules."""
    calls: dict[str, Call] = {}
    with ExitStack() as hooks, torch.no_grad():
        for name in names:

            def keep(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                calls.setdefault(name, (args, kwargs))

            module = model.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(keep, with_kwargs=True))
        model(example)
    return calls


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
    for line in result.summary().splitlines():
        log.debug("%s", line)


@torch.no_grad()
def _verify(
    model: nn.Module,
    removed: Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    smaller: nn.Module,
    example: Tensor,
) -> None:
    """Compare with the masked network's logits on random images, so that no wrong network is returned."""
    images = torch.randn(2, *example.shape[1:], device=example.device, dtype=example.dtype)
    with evaluating(model), masked(model, removed, units):
        expected = model(images)
    try:
        found = smaller(images)
    except RuntimeError as error:
        raise XaipruneError(
            f"{type(model).__name__} does not run after removal ({str(error).splitlines()[0]}); "
            "use the mask, or leave out the layer it names with units.exclude"
        ) from error
    scale = max(1.0, float(expected.abs().max()))
    difference = float((expected - found).abs().max()) / scale
    if not difference <= _TOLERANCE:
        raise XaipruneError(
            f"{type(model).__name__} gives other logits after removal than with the mask "
            f"(by {difference:.1e}); this network's removal is not supported, use the mask"
        )
