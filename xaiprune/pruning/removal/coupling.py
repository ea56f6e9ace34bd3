"""Channels that several layers share (a residual stream), so that they can only be removed together."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.removal.surgery import Cuts, Surgery
from xaiprune.units import UnitLayer, default_example


def couple(
    model: nn.Module, units: Sequence[UnitLayer], example: Tensor | None = None
) -> tuple[tuple[str, ...], ...]:
    """Find the unit layers whose units share channels, for ``make_plan(..., groups=...)``.

    Unit i of each layer of a group is channel i of the stream that all of them write to; once it is removed
    from all, the channel is removed. A group counts only if all its writers are unit layers.

    Args:
        model: The network; unchanged.
        units: Its unit layers.
        example: One input (1, 3, H, W); zeros of the default size if None.

    Returns:
        Groups of at least two layers each, in execution order.
    """
    example = default_example(model) if example is None else example
    with Surgery(model, example) as surgery:
        return tuple(_groups(surgery, units))


def coupled_cuts(
    surgery: Surgery, removed: Mapping[str, Sequence[int]], units: Sequence[UnitLayer]
) -> Iterator[tuple[tuple[str, ...], tuple[int, ...], Cuts]]:
    """The units of each group that are removed from every one of its layers: (layers, units, cuts)."""
    layers = {layer.name: layer for layer in units}
    for names in _groups(surgery, units):
        together = set.intersection(*(set(removed.get(name, ())) for name in names))
        if together:
            shared = tuple(sorted(together))
            yield names, shared, surgery.cuts(names[0], layers[names[0]].channels(shared).tolist())


def _groups(surgery: Surgery, units: Sequence[UnitLayer]) -> Iterator[tuple[str, ...]]:
    layers = {layer.name: layer for layer in units}
    seen: set[str] = set()
    for layer in units:
        if layer.removable or layer.where == "input" or layer.name in seen:
            continue
        try:
            writers = surgery.outputs(surgery.cuts(layer.name, [0]))
        except XaipruneError:  # tied to a bare parameter (a ViT's class token): such a stream cannot shrink
            continue
        seen |= writers
        names = tuple(name for name in layers if name in writers)
        sizes = {(layers[name].units, layers[name].width) for name in names}
        if len(names) > 1 and len(names) == len(writers) and len(sizes) == 1:
            yield names
