"""The page's figures of settings: which matter, which numbers worked, which rule won in which layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from xaiprune.attribution.lrp.rules import RULES
from xaiprune.report.page.drawing import (
    ABOVE,
    ACCENT,
    INK,
    PAPER,
    Figure,
    layer_axis,
    numbered_axis,
    percent_axis,
    plain,
)
from xaiprune.report.page.figures import value_name
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.words import rule_name
from xaiprune.report.palette import part_colors

_NUMBERS = ("epsilon", "gamma", "alpha")
_MOST_PARTS = 6  # that get colours of their own
_MOST_BARS = 15
_BEST = 0.1
_MOST_TRIALS = 1000  # of more, the best and every so many-th of the rest
_ORDER = ("gradient", *RULES)


def importance(table: pd.DataFrame) -> Figure:
    """Bars of the most important parameters, with their ranges."""
    shown = table.head(_MOST_BARS).iloc[::-1]
    everywhere = table.trials.max()
    return Figure(
        "importances",
        "Which settings matter",
        "The longer the bar, the more a setting tells the best tenth of the trials from the rest "
        "(conditional PED-ANOVA; the bars sum to 100 %). Lines span the middle 80 % of 20 resamples of the "
        "trials: where they are long, there are too few trials to say. Pale bars are settings that only "
        "some trials have.",
        [
            {
                "type": "bar",
                "orientation": "h",
                "y": list(shown.parameter),
                "x": plain(shown.importance),
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": plain((shown.high - shown.importance).clip(lower=0)),
                    "arrayminus": plain((shown.importance - shown.low).clip(lower=0)),
                    "color": INK,
                    "thickness": 1,
                    "width": 3,
                },
                "marker": {
                    "color": ACCENT,
                    "opacity": [1.0 if count == everywhere else 0.5 for count in shown.trials],
                },
                "customdata": plain(shown.trials),
                "hovertemplate": "%{y}: %{x:.1%}, in %{customdata} trials<extra></extra>",
            }
        ],
        {
            "xaxis": {**percent_axis("share"), "rangemode": "tozero"},
            "yaxis": {"automargin": True, "ticks": "", "showgrid": False},
            "bargap": 0.35,
            "showlegend": False,
        },
        height=90 + 24 * len(shown),
    )


def numbers(findings: Findings) -> Figure | None:
    """Each rule's number against the trial's value; None where the space has none."""
    runs = findings.complete
    shown = {
        kind: [name for name in findings.distributions if kind in name.split(".")[1:]] for kind in _NUMBERS
    }
    # An axis without a single dot would have no range.
    shown = {kind: [n for n in names if n in runs and runs[n].notna().any()] for kind, names in shown.items()}
    kinds = [kind for kind, names in shown.items() if names]
    if not kinds:
        return None
    parts = list(dict.fromkeys(_part(name) for kind in kinds for name in shown[kind]))
    many = len(parts) > _MOST_PARTS
    colors = dict.fromkeys(parts, ACCENT) if many else part_colors(parts)
    data, seen = [], set()
    for place, kind in enumerate(kinds, start=1):
        for name in shown[kind]:
            had = runs[runs[name].notna()]
            legend = "a layer" if many else _part(name)
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": legend,
                    "legendgroup": legend,
                    "showlegend": legend not in seen,
                    "x": plain(had[name]),
                    "y": plain(had.value),
                    "xaxis": f"x{place}",
                    "yaxis": f"y{place}",
                    "text": [f"trial {number}, {name}" for number in had.number],
                    "hovertemplate": "%{y:.1%} at %{x:.3g}<extra>%{text}</extra>",
                    "marker": {"color": colors[_part(name)], "size": 7, "opacity": 0.75},
                }
            )
            seen.add(legend)
    across: dict[str, Any] = {}
    down: dict[str, Any] = {}
    for place, kind in enumerate(kinds, start=1):
        own = _number_axis(kind, log=kind != "alpha" and _positive(runs, shown[kind]))
        values = {**percent_axis(value_name(findings) if place == 1 else ""), "anchor": f"x{place}"}
        values |= {"matches": "y"} if place > 1 else {}
        x, y = f"xaxis{place}", "yaxis" if place == 1 else f"yaxis{place}"
        start, end = (place - 1) / len(kinds), place / len(kinds)
        beside = {"domain": [start + (0.03 if place > 1 else 0), end - (0.03 if place < len(kinds) else 0)]}
        across |= {x: {**own, **beside, "anchor": y.replace("axis", "")}}
        across |= {y: {**values, "showticklabels": place == 1}}
        below = {"domain": [1 - end + (0.08 if place < len(kinds) else 0), 1 - start]}
        down |= {x: {**own, "anchor": y.replace("axis", "")}, y: {**values, **below}}
    return Figure(
        "numbers",
        "Which values of epsilon, gamma and alpha worked",
        "Each dot is one setting of one trial: to the right a larger number, above a better value. A cloud "
        "that leans shows where to look; a flat one, that the number hardly matters.",
        data,
        {
            **across,
            "legend": ABOVE,
        },
        height=380,
        narrow={**down, "height": 60 + 260 * len(kinds)},
    )


def _part(parameter: str) -> str:
    """``low`` of ``low.gamma`` and ``low.gamma.conv``."""
    words = parameter.split(".")
    place = next(i for i, word in enumerate(words) if i and word in _NUMBERS)
    return ".".join(words[:place])


def _number_axis(kind: str, *, log: bool) -> dict[str, Any]:
    axis = {"title": {"text": kind}, "exponentformat": "power"}
    if not log:
        return {**axis, "type": "linear", "nticks": 6}
    return {**axis, "type": "log", "dtick": 2 if kind == "epsilon" else 1}


def _positive(runs: pd.DataFrame, names: Sequence[str]) -> bool:
    values = runs[list(names)].to_numpy(dtype=float)
    return bool(np.nanmin(values) > 0) if np.isfinite(values).any() else False


def rules(findings: Findings) -> Figure | None:
    """Which rule each layer got, in the best tenth of trials and in all; None where layers are not known."""
    if not findings.network:
        return None
    everyone, best = _shares(findings)
    names = list(everyone.columns)
    kinds = list(everyone.index)
    marks = best_rules(findings)
    groups = _groups(findings)
    data: list[dict[str, Any]] = []
    for place, (title, table) in enumerate((("best tenth", best), ("all trials", everyone)), start=1):
        data.append(
            {
                "type": "heatmap",
                "z": table.to_numpy().round(4).tolist(),
                "x": list(range(len(names))),
                "y": kinds,
                "xaxis": "x",
                "yaxis": "y" if place == 1 else "y2",
                "coloraxis": "coloraxis",
                "xgap": 1,
                "ygap": 2,
                "text": [names] * len(kinds),
                "hovertemplate": f"%{{text}}<br>%{{y}} in %{{z:.0%}} of the {title}<extra></extra>",
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(range(len(names))),
            "y": [marks[name] for name in names],
            "marker": {"symbol": "circle", "size": 6, "color": PAPER, "line": {"color": INK, "width": 1.5}},
            "hoverinfo": "skip",
        }
    )
    scale = {"cmin": 0, "cmax": 1, "colorscale": [[0, "--heat-0"], [0.5, "--heat-1"], [1, "--heat-2"]]}
    borders = [i - 0.5 for i in range(1, len(names)) if groups[i] != groups[i - 1]]
    firsts = [i for i in range(len(names)) if i == 0 or groups[i] != groups[i - 1]]
    return Figure(
        "rules",
        "Which rule won in which layer",
        "Columns are layers from the first to the last, rows are LRP rules; the stronger a cell's colour, "
        "the more trials gave that layer that rule: above among the best tenth of them, below among all "
        "(which is what the sampler tried). Dots mark the best composite.",
        data,
        {
            "xaxis": {**layer_axis(names), "anchor": "y2"},
            "yaxis": {**_rows(kinds), "domain": [0.53, 1], "title": {"text": "best tenth"}},
            "yaxis2": {**_rows(kinds), "domain": [0, 0.47], "title": {"text": "all trials"}, "anchor": "x"},
            "shapes": [
                {
                    "type": "line",
                    "x0": x,
                    "x1": x,
                    "xref": "x",
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "line": {"color": INK, "width": 1},
                }
                for x in borders
            ],
            "annotations": [
                {
                    "text": groups[i],
                    "x": i - 0.5,
                    "xanchor": "left",
                    "y": 1.0,
                    "yref": "paper",
                    "yanchor": "bottom",
                    "showarrow": False,
                    "font": {"size": 11},
                }
                for i in firsts
                if groups[i] != "classifier" or len(firsts) == 1
            ],
            "coloraxis": {**scale, "colorbar": {"tickformat": ".0%", "thickness": 10, "outlinewidth": 0}},
            "showlegend": False,
        },
        height=190 + 2 * 26 * len(kinds),
        narrow={
            "xaxis": {**numbered_axis(names), "anchor": "y2"},
            "coloraxis": {**scale, "showscale": False},
        },
    )


def best_rules(findings: Findings) -> dict[str, str]:
    """Layer -> the rule that the best trial gives it."""
    return _rules_of(findings, int(findings.best.number))


def _shares(findings: Findings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rule x layer) shares of all trials that ran, and of the best tenth of the finished ones."""
    runs = findings.complete.sort_values("value", ascending=False, kind="stable")
    best = [int(number) for number in runs.number[: max(1, math.ceil(_BEST * len(runs)))]]
    ran = findings.trials[findings.trials.state.isin(["complete", "pruned"])]
    rest = [int(number) for number in ran.number if int(number) not in best]
    rest = rest[:: max(1, math.ceil(len(rest) / _MOST_TRIALS))]
    counts = {number: rules for number in (*best, *rest) if (rules := _rules_of(findings, number))}
    layers = [layer.name for layer in findings.network]
    kinds = [k for k in _ORDER if any(k in rules.values() for rules in counts.values())]

    def shares(numbers: Sequence[int]) -> pd.DataFrame:
        known = [counts[number] for number in numbers if number in counts]
        table = [
            [sum(r[name] == kind for r in known) / max(1, len(known)) for name in layers] for kind in kinds
        ]
        return pd.DataFrame(table, index=kinds, columns=layers)

    return shares([*best, *rest]), shares(best)


def _rules_of(findings: Findings, number: int) -> dict[str, str]:
    recipe = findings.recipe(number)
    if recipe is None:
        return {}
    return {layer.name: rule_name(recipe.composite.rule_for(layer)) for layer in findings.network}


def _groups(findings: Findings) -> list[str]:
    """The depth group of every layer, as the best composite counts them."""
    recipe = findings.recipe(int(findings.best.number))
    return [] if recipe is None else [recipe.composite.group_of(layer) for layer in findings.network]


def _rows(kinds: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(kinds)[::-1],
        "automargin": True,
        "showgrid": False,
        "ticks": "",
    }
