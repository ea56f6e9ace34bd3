"""Channels that several layers share (a residual stream), so that they can only leave together."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.pruning.removal.surgery import Cuts, Surgery
from xaiprune.units import UnitLayer, default_example


def couple(
    model: nn.Module, units: Sequence[UnitLayer], example: Tensor | None = None
) -> tuple[tuple[str, ...], ...]:
    """Find the unit layers whose units share channels, for ``make_plan(..., groups=...)``.

    Unit i of one layer of a group is channel i of the stream that all of them write to; removed from all,
    the channel goes. A group counts only if all its writers are unit layers.

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
    surgery: Surgery, going: Mapping[str, Sequence[int]], units: Sequence[UnitLayer]
) -> Iterator[tuple[tuple[str, ...], tuple[int, ...], Cuts]]:
    """The channels of each group that leave every one of its layers: (layers, channels, cuts)."""
    for names in _groups(surgery, units):
        together = set.intersection(*(set(going.get(name, ())) for name in names))
        if together:
            channels = tuple(sorted(together))
            yield names, channels, surgery.cuts(names[0], channels)


def _groups(surgery: Surgery, units: Sequence[UnitLayer]) -> Iterator[tuple[str, ...]]:
    layers = {layer.name: layer for layer in units}
    seen: set[str] = set()
    for layer in units:
        if layer.removable or layer.kind not in ("filters", "linear_outputs") or layer.name in seen:
            continue
        try:
            writers = surgery.outputs(surgery.cuts(layer.name, [0]))
        except XaipruneError:  # tied to a bare parameter (a ViT's class token): such a stream cannot shrink
            continue
        seen |= writers
        names = tuple(name for name in layers if name in writers)
        sizes = {layers[name].units for name in names}
        if len(names) > 1 and len(names) == len(writers) and len(sizes) == 1:
            yield names
