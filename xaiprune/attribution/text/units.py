"""Relevance of MLP neurons and attention heads for what a language model says of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.criteria.taps import per_unit
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.recorder import TapPoint
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.text.attribute import ATTNLRP
from xaiprune.attribution.text.found import heading
from xaiprune.attribution.text.html import block
from xaiprune.attribution.text.question import ask
from xaiprune.attribution.unit_relevance import Start, initial_relevance, same_as_plain
from xaiprune.errors import XaipruneError
from xaiprune.forward import as_input, part_of
from xaiprune.models import LanguageModel
from xaiprune.units import UnitLayer, find_units

KINDS = "neurons+heads"
_SHOWN = 12  # units of an answer that a notebook shows


@dataclass(frozen=True)
class UnitAnswer:
    """One thing that is explained, and which units the network says it by.

    Attributes:
        text: What is explained.
        logit: The sum of the logits that relevance starts from, with their signs.
        probability: Of the token or class; None where several are explained together.
        relevance: Unit layer name -> (units,) float64, summed over the text's tokens.
    """

    text: str
    logit: float
    probability: float | None
    relevance: Mapping[str, Tensor]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The units whose relevance is largest in size, as ``LAYER:NUMBER``, and their relevance."""
        names = [f"{layer}:{unit}" for layer, values in self.relevance.items() for unit in range(len(values))]
        values = torch.cat(list(self.relevance.values()))
        order = values.abs().argsort(descending=True, stable=True)[:count].tolist()
        return [(names[place], float(values[place])) for place in order]


@dataclass(frozen=True, repr=False)
class UnitAttribution:
    """Relevance of a network's units for what it says of a text.

    Attributes:
        model: Name of the network.
        composite: The rules, in words.
        text: That was given.
        kinds: Unit layer name -> what its units are.
        answers: Each thing that is explained.
    """

    model: str
    composite: str
    text: str
    kinds: Mapping[str, str]
    answers: tuple[UnitAnswer, ...]

    def __repr__(self) -> str:
        explained = ", ".join(repr(answer.text) for answer in self.answers)
        return f"UnitAttribution({len(self.kinds)} unit layers; explains {explained})"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each thing that is explained and each unit, for a data frame or a table."""
        return [
            {
                "answer": answer.text,
                "layer": layer,
                "kind": self.kinds[layer],
                "unit": unit,
                "relevance": value,
            }
            for answer in self.answers
            for layer, values in answer.relevance.items()
            for unit, value in enumerate(values.tolist())
        ]

    def _repr_html_(self) -> str:
        """How a notebook shows it: the units whose relevance is largest, for each thing that is explained."""
        about = f"<p><small>{escape(self.text)}<br>{escape(self.model)}, {escape(self.composite)}</small></p>"
        return block("".join(map(self._table, self.answers)) + about)

    def _table(self, answer: UnitAnswer) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{self.kinds[name.rpartition(':')[0]].removesuffix('s')}</td>"
            f"<td>{value:+.4g}</td></tr>"
            for name, value in answer.top(_SHOWN)
        )
        top = heading(answer.text, answer.logit, answer.probability)
        return f"{top}<table><tr><th>unit</th><th>what</th><th>relevance</th></tr>{rows}</table>"


def attribute_text_units(
    model: LanguageModel,
    text: str,
    *,
    target: str | None = None,
    against: str | None = None,
    generate: int = 0,
    kind: str = KINDS,
    composite: Composite = ATTNLRP,
    start: Start = "logit",
) -> UnitAttribution:
    """Relevance of every MLP neuron and attention head for what a network makes of a text.

    One forward, and one backward for each thing that is explained.

    Args:
        model: From `xaiprune.open_language_model`.
        text: What the network reads.
        target: What is explained, as `xaiprune.attribute_text` takes it.
        against: As there.
        generate: As there.
        kind: Unit kinds, as `xaiprune.find_units` takes them.
        composite: The rules.
        start: As there.

    Raises:
        XaipruneError: As `xaiprune.attribute_text`, or the network has no such units.

    Example:
        >>> model = xp.open_language_model("llama")  # doctest: +SKIP
        >>> xp.attribute_text_units(model, "Once upon a", target="time").answers[0].top(3)  # doctest: +SKIP
    """
    question = ask(model, text, target, against, generate)
    given = as_input(model.model, question.inputs)
    units = find_units(model.model, kind, example=part_of(given, slice(0, 1)))
    taps = [TapPoint(unit.tap, unit.where) for unit in units]
    recording = Recording(model.model, given, taps, several=len(question.explained) > 1)
    same_as_plain(recording, model.model, given)
    answers = []
    for thing in question.explained:
        sums = {unit.name: torch.zeros(unit.units, dtype=torch.float64) for unit in units}

        def read(index: int, _: int, activation: Tensor, g: Tensor, sums: dict[str, Tensor] = sums) -> None:
            relevance = (activation.detach() * g).double()
            sums[units[index].name] += per_unit(relevance, units[index], 1)[0].cpu()

        recording.backward(composite, initial_relevance(recording.logits, thing.targets, start), read)
        logit, probability = thing.said(recording.logits)
        answers.append(UnitAnswer(thing.name, logit, probability, sums))
    kinds = {unit.name: unit.kind for unit in units}
    return UnitAttribution(model.name, composite.summary(), text, kinds, tuple(answers))


def units_by_name(model: LanguageModel, names: list[str], kind: str) -> list[tuple[UnitLayer, int]]:
    """The unit layer and number of units that are named ``LAYER:NUMBER``.

    Raises:
        XaipruneError: There is no such unit; names one that there is.
    """
    layers = {unit.name: unit for unit in find_units(model.model, kind)}
    found = []
    for name in names:
        layer, _, number = name.rpartition(":")
        unit = layers.get(layer)
        if unit is None or not number.isdigit() or int(number) >= unit.units:
            first = next(iter(layers.values()))
            has = (
                f"{layer} has {unit.units}"
                if unit is not None
                else f"its layers are {', '.join(list(layers)[:3])}"
            )
            raise XaipruneError(
                f"unit '{name}' is none of {model.name}: a unit is LAYER:NUMBER, as {first.name}:0, and {has}"
            )
        found.append((unit, int(number)))
    return found
