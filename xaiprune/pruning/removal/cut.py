"""Makes a network smaller by a plan; what cannot leave stays, zeroed by its weights."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.mask import masked
from xaiprune.pruning.plan import Plan
from xaiprune.pruning.removal.attention import replace_multihead_
from xaiprune.pruning.removal.constants import Constants
from xaiprune.pruning.removal.couple import coupled_cuts
from xaiprune.pruning.removal.fold import zero_units_
from xaiprune.pruning.removal.heads import shrink_heads_
from xaiprune.pruning.removal.surgery import Cuts, Surgery
from xaiprune.units import Links, UnitLayer, default_example, find_links

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # float32 sums over fewer terms differ a little; a wrong slice differs by far more


@dataclass
class Removal:
    """A smaller network, and what became of the plan's units.

    Attributes:
        model: The smaller network.
        removed: Unit layer -> how many of its units are gone from the tensors.
        masked: Unit layer -> how many of its units are still there as zeros, and why.
        replaced: Attention modules that were replaced to be able to lose heads.
    """

    model: nn.Module
    removed: dict[str, int] = field(default_factory=dict)
    masked: dict[str, tuple[int, str]] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line each: how many units are gone, how many stay as zeros, and why."""
        lines = [f"removed {sum(self.removed.values())} units in {len(self.removed)} layers"]
        reasons: dict[str, int] = {}
        for count, reason in self.masked.values():
            reasons[reason] = reasons.get(reason, 0) + count
        lines += [f"masked {count} units: {reason}" for reason, count in reasons.items()]
        return "\n".join(lines)


def remove(
    model: nn.Module,
    plan: Plan | Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    example: Tensor | None = None,
    coupled: str = "mask",
) -> nn.Module:
    """The smaller network alone; see `removal`."""
    return remove_units(model, plan, units, example, coupled).model


def remove_units(
    model: nn.Module,
    plan: Plan | Mapping[str, Sequence[int]],
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
            ``group`` removes channels that the plan takes from every layer of the stream (make such plans
            with `xaiprune.pruning.removal.couple`), and keeps the others as zeros.

    Raises:
        XaipruneError: If the plan is for another network, would empty a layer, or the smaller network
            does not give the masked one's output.
    """
    if coupled not in ("mask", "group"):
        raise XaipruneError(f"prune.coupled={coupled} is unknown; choose mask or group")
    example = default_example(model) if example is None else example[:1]
    going = _going(plan, units)
    layers = {layer.name: layer for layer in units}
    result = Removal(copy.deepcopy(model).eval())
    links = find_links(model, units, example)
    with Surgery(result.model, example) as surgery:
        cuts, cut_units = Cuts(), {}
        for name, removed in going.items():
            layer = layers[name]
            if layer.kind != "heads" and removed:
                found = _layer_cuts(result, surgery, layer, removed, links)
                if found is not None:
                    cuts.add(found)
                    cut_units[name] = removed
        constants = Constants(model, going, units, example)
        if coupled == "group":
            for names, together, found in coupled_cuts(surgery, going, units):
                if not constants.foldable(surgery.inputs(found)):
                    continue
                cuts.add(found)
                for name in names:
                    cut_units[name] = together
        heads = _shrink_attention(result, going, layers, example)
        stay = {}
        for name, removed in going.items():
            gone = {*cut_units.get(name, ()), *heads.get(name, ())}
            stay[name] = [unit for unit in removed if unit not in gone]
        constants.fold_(result.model, surgery.inputs(cuts), links)
        zero_units_(result.model, {n: u for n, u in stay.items() if n not in heads}, units)
        surgery.make_(cuts)
    _report(result, going, cut_units, heads, stay)
    if check:
        _verify(model, going, units, result.model, example)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in result.model.named_parameters():
        parameter.grad = None
        if name in frozen:  # cutting makes new parameters
            parameter.requires_grad_(False)
    return result


def _going(
    plan: Plan | Mapping[str, Sequence[int]], units: Sequence[UnitLayer]
) -> dict[str, tuple[int, ...]]:
    """Unit layer -> units that go, checked against the network."""
    if isinstance(plan, Plan):
        plan.check(units)
        plan = plan.removed
    layers = {layer.name: layer for layer in units}
    going: dict[str, tuple[int, ...]] = {}
    for name, removed in plan.items():
        if name not in layers:
            raise XaipruneError(f"{name} is not a unit layer of this network")
        chosen = tuple(sorted(set(removed)))
        if len(chosen) >= layers[name].units:
            raise XaipruneError(f"the plan would leave nothing of {name}; raise prune.min_units")
        going[name] = chosen
    return going


def _layer_cuts(
    result: Removal, surgery: Surgery, layer: UnitLayer, removed: Sequence[int], links: Links
) -> Cuts | None:
    """The cuts that take the units out; None, with the reason noted, if they have to stay as zeros."""
    reason = links.why_not(layer)
    if not reason and layer.removable:
        try:
            return surgery.cuts(layer.name, removed)
        except XaipruneError as error:
            reason = str(error)
    result.masked[layer.name] = (len(removed), reason)
    return None


def _shrink_attention(
    result: Removal,
    going: Mapping[str, Sequence[int]],
    layers: Mapping[str, UnitLayer],
    example: Tensor,
) -> dict[str, tuple[int, ...]]:
    """Take heads out of every attention module that lets them go; the heads that went."""
    wanted = {name: units for name, units in going.items() if layers[name].kind == "heads" and units}
    gone: dict[str, tuple[int, ...]] = {}
    if not wanted:
        return gone
    for name in wanted:
        if isinstance(result.model.get_submodule(name), nn.MultiheadAttention):
            replace_multihead_(result.model, name)
            result.replaced.append(name)
    calls = _record_calls(result.model, list(wanted), example)
    for name, units in wanted.items():
        try:
            if not layers[name].removable:
                raise XaipruneError(f"the heads of {name} read one another; they can only be masked")
            shrink_heads_(result.model, layers[name], units, calls[name])
            gone[name] = tuple(units)
        except XaipruneError as error:
            result.masked[name] = (len(units), str(error))
            zero_units_(result.model, {name: units}, [layers[name]])
    return gone


def _record_calls(
    model: nn.Module, names: Sequence[str], example: Tensor
) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments with which the network calls its modules."""
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    handles = []
    for name in names:

        def keep(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
            calls.setdefault(name, (args, kwargs))

        handles.append(model.get_submodule(name).register_forward_pre_hook(keep, with_kwargs=True))
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _report(
    result: Removal,
    going: Mapping[str, Sequence[int]],
    cut: Mapping[str, Sequence[int]],
    heads: Mapping[str, Sequence[int]],
    stay: Mapping[str, Sequence[int]],
) -> None:
    for name in going:
        gone = len(cut.get(name, ())) + len(heads.get(name, ()))
        if gone:
            result.removed[name] = gone
        if not stay[name]:
            result.masked.pop(name, None)
        elif name in result.masked:
            result.masked[name] = (len(stay[name]), result.masked[name][1])
    for line in result.summary().splitlines():
        log.debug("%s", line)


@torch.no_grad()
def _verify(
    model: nn.Module,
    going: Mapping[str, Sequence[int]],
    units: Sequence[UnitLayer],
    smaller: nn.Module,
    example: Tensor,
) -> None:
    """Compare with the masked network on random input, at the logits: a wrong network is never handed out."""
    images = torch.randn(2, *example.shape[1:], device=example.device, dtype=example.dtype)
    training = {module for module in model.modules() if module.training}
    model.eval()
    try:
        with masked(model, going, units):
            expected = model(images)
        try:
            found = smaller(images)
        except RuntimeError as error:
            raise XaipruneError(
                f"{type(model).__name__} does not run after removal ({str(error).splitlines()[0]}); "
                "use the mask, or leave out the layer it names with units.exclude"
            ) from error
    finally:
        for module in training:
            module.training = True
    scale = max(1.0, float(expected.abs().max()))
    difference = float((expected - found).abs().max()) / scale
    if not difference <= _TOLERANCE:
        raise XaipruneError(
            f"{type(model).__name__} gives other logits after removal than with the mask "
            f"(by {difference:.1e}); this network's removal is not supported, use the mask"
        )
