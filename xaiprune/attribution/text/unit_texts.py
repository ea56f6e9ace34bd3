"""The texts of a corpus in which a unit is most relevant, beside those in which it is most active."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count as counting
from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.criteria.taps import images_first
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.linear_call import WeightCache
from xaiprune.attribution.lrp.engine.recorder import TapPoint
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.text.attribute import ATTNLRP
from xaiprune.attribution.text.html import block, colored, legend
from xaiprune.attribution.text.units import KINDS, units_by_name
from xaiprune.attribution.unit_relevance import Start, initial_relevance, same_as_plain
from xaiprune.errors import XaipruneError
from xaiprune.forward import IGNORED, as_input
from xaiprune.models import LanguageModel
from xaiprune.units import ImageAxis, UnitLayer

_BEFORE, _BEHIND = 24, 12  # tokens of an excerpt around its peak


@dataclass(frozen=True)
class Excerpt:
    """A part of a window of text, around the token at which a unit's value is largest.

    Attributes:
        window: Number of the window in the corpus.
        position: Of that token in the window.
        peak: The value there.
        tokens: Of the excerpt, as they stand in the text.
        values: The unit's value at each of them.
    """

    window: int
    position: int
    peak: float
    tokens: tuple[str, ...]
    values: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "tokens": list(self.tokens), "values": list(self.values)}


@dataclass(frozen=True, repr=False)
class UnitTexts:
    """What a unit stands for, to a reader: where it matters, and where it fires.

    Attributes:
        unit: ``LAYER:NUMBER``.
        kind: What the unit is.
        model: Name of the network.
        composite: The rules, in words.
        windows: How many windows of text were read.
        most_relevant: Windows in which its relevance has the highest peak, the highest first.
        most_active: Windows in which its activation has the largest peak in size (of a head, of its norm).
    """

    unit: str
    kind: str
    model: str
    composite: str
    windows: int
    most_relevant: tuple[Excerpt, ...]
    most_active: tuple[Excerpt, ...]

    def __repr__(self) -> str:
        return f"UnitTexts({self.unit}: {len(self.most_relevant)} of {self.windows} windows)"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        lists = {
            key: [one.to_dict() for one in getattr(self, key)] for key in ("most_relevant", "most_active")
        }
        return {**vars(self), "schema": "xaiprune/unit-texts/1", **lists}

    def _repr_html_(self) -> str:
        """How a notebook shows it: two columns of excerpts."""
        columns = "".join(
            f"<div><h3>{name}</h3>{''.join(map(_excerpt, excerpts))}</div>"
            for name, excerpts in (("most relevant", self.most_relevant), ("most active", self.most_active))
        )
        what = f"{self.kind.removesuffix('s')}, {self.windows} windows"
        head = f"<h3>{escape(self.unit)} <small>{what}</small></h3>"
        about = f"{self.model}, {self.composite}"
        scope = "the strongest token of each excerpt has the full colour"
        return block(
            f'{head}<div class="columns">{columns}</div>{legend(about, ("positive", "negative"), scope)}'
        )


def _excerpt(found: Excerpt) -> str:
    return f"<small>window {found.window}, peak {found.peak:.4g}</small>{colored(found.tokens, found.values)}"


@dataclass
class _Best:
    """The few windows with the largest peaks so far."""

    count: int
    order: Iterator[int] = field(default_factory=counting)
    heap: list[tuple[float, int, Any]] = field(default_factory=list)

    def add(self, size: float, make: Any) -> None:
        """Keep a window if it is among the best; it is made only then."""
        if len(self.heap) < self.count or size > self.heap[0][0]:
            entry = (size, -next(self.order), make())  # of equal ones the first stays
            (heapq.heappush if len(self.heap) < self.count else heapq.heapreplace)(self.heap, entry)

    def sorted(self) -> tuple[Excerpt, ...]:
        """The largest first."""
        return tuple(made for _, _, made in sorted(self.heap, key=lambda e: e[:2], reverse=True))


def collect_unit_texts(
    model: LanguageModel,
    windows: Iterable[Tensor],
    units: Sequence[str],
    *,
    count: int = 6,
    composite: Composite = ATTNLRP,
    start: Start = "logit",
    kind: str = KINDS,
    batch_size: int = 8,
) -> tuple[UnitTexts, ...]:
    """Find the windows of text in which units are most relevant, and those in which they are most active.

    The concept-based reading of AttnLRP (arXiv 2402.05602) and of relevance maximisation (Achtibat et al.
    2023). In each window every next token is explained by those before it, all together. Windows are read
    one batch after the other and only the best are kept, so memory does not grow with the corpus.

    Args:
        model: From `xaiprune.open_language_model`, one that foretells the next token.
        windows: Of ids, each (tokens,) int64: the rows of a tensor (N, T), or any iterable.
        units: Of which units, ``LAYER:NUMBER`` (`xaiprune.attribute_text_units`).
        count: How many windows to keep of each sort.
        composite: The rules.
        start: As `xaiprune.attribute` takes it.
        kind: Unit kinds among which the units are.
        batch_size: Windows in one forward; those of one length go together.

    Returns:
        One for each unit, in their order.

    Raises:
        XaipruneError: No windows, a window of one token or longer than the network reads, a unit that there
            is not, or a model that does not foretell the next token.
    """
    if model.head != "causal":
        raise XaipruneError(
            f"{model.name} does not foretell the next token; units' texts need a causal model"
        )
    chosen = units_by_name(model, list(units), kind)
    layers = list({layer.name: layer for layer, _ in chosen}.values())
    best = [(_Best(count), _Best(count)) for _ in chosen]
    weights, read = WeightCache(), 0
    for batch in _batches(model, windows, batch_size):
        found = _values(model, batch, layers, composite, start, weights, check=read == 0)
        for (layer, number), kept in zip(chosen, best, strict=True):
            channels = layer.channels([number])
            activation, relevance = (t[..., channels] for t in found[layer.name])
            active = activation[..., 0] if layer.width == 1 else activation.norm(dim=-1)
            for into, values, sizes in (
                (kept[0], relevance.sum(-1), relevance.sum(-1)),
                (kept[1], active, active.abs()),
            ):
                _keep(model, into, batch, values, sizes, read)
        read += len(batch)
    if not read:
        raise XaipruneError("there are no windows of text to look through")
    return tuple(
        UnitTexts(name, layer.kind, model.name, composite.summary(), read, *(one.sorted() for one in kept))
        for name, (layer, _), kept in zip(units, chosen, best, strict=True)
    )


def _batches(model: LanguageModel, windows: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for window in windows:
        if window.dim() != 1 or len(window) < 2:
            raise XaipruneError(f"a window is ids (tokens,), two or more, got {tuple(window.shape)}")
        model.check_length(len(window))
        if waiting and (len(waiting) == size or len(waiting[0]) != len(window)):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(window)
    if waiting:
        yield torch.stack(waiting)


def _values(
    model: LanguageModel,
    ids: Tensor,
    layers: Sequence[UnitLayer],
    composite: Composite,
    start: Start,
    weights: WeightCache,
    *,
    check: bool,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Activation and relevance of all channels at each position: layer name -> two of (N, T, channels)."""
    given = as_input(model.model, ids)
    recording = Recording(model.model, given, [TapPoint(u.tap, u.where) for u in layers], weights=weights)
    if check:
        same_as_plain(recording, model.model, given)
    labels = torch.cat([given[:, 1:], torch.full_like(given[:, :1], IGNORED)], 1)
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def read(index: int, _: int, activation: Tensor, g: Tensor) -> None:
        layer = layers[index]
        a, b = (
            images_first(t, layer, len(ids), ImageAxis()).reshape(*ids.shape, -1)
            for t in (activation.detach(), g)
        )
        found[layer.name] = (a.cpu(), (a * b).cpu())

    recording.backward(composite, initial_relevance(recording.logits, labels, start), read, last=True)
    for index, layer in enumerate(layers):  # what gets no relevance is not visited
        if layer.name not in found:
            a = images_first(recording.tapped(index)[-1], layer, len(ids), ImageAxis())
            a = a.reshape(*ids.shape, -1).cpu()
            found[layer.name] = (a, torch.zeros_like(a))
    return found


def _keep(model: LanguageModel, into: _Best, ids: Tensor, values: Tensor, sizes: Tensor, first: int) -> None:
    peaks, places = sizes.max(1)
    for row, (peak, place) in enumerate(zip(peaks.tolist(), places.tolist(), strict=True)):

        def make(row: int = row, place: int = place) -> Excerpt:
            part = slice(max(0, place - _BEFORE), place + _BEHIND + 1)
            tokens = tuple(model.tokens(ids[row])[part])
            at = values[row]
            return Excerpt(first + row, place, float(at[place]), tokens, tuple(at[part].tolist()))

        into.add(peak, make)
