"""The page's plots of settings: which of them matter, which numbers worked, which rule won in which layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xaiprune.attribution.lrp import Rule
from xaiprune.registry import RULES
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.plot_parts import (
    ABOVE,
    ACCENT,
    HEAT,
    INK,
    PAPER,
    PERCENT,
    Plot,
    hover,
    layer_axis,
    numbered_axis,
    tick_format,
)
from xaiprune.report.palette import part_colors

_MOST_PARTS = 6  # that get colours of their own
_MOST_BARS = 15
_BEST = 0.1
_MOST_TRIALS = 1000  # of more, the best and every so many-th of the rest


def importance(table: pd.DataFrame) -> Plot:
    """Bars of the most important parameters, with their ranges.

    Args:
        table: From `xaiprune.report.page.importances.importances`.
    """
    shown = table.head(_MOST_BARS).iloc[::-1]
    everywhere = table.trials.max()
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        y=shown.parameter,
        x=shown.importance,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (shown.high - shown.importance).clip(lower=0),
            "arrayminus": (shown.importance - shown.low).clip(lower=0),
            "color": INK,
            "thickness": 1,
            "width": 3,
        },
        marker={"color": ACCENT, "opacity": [1.0 if count == everywhere else 0.5 for count in shown.trials]},
        customdata=shown.trials,
        hovertemplate="%{y}: %{x:.1%}, in %{customdata} trials<extra></extra>",
    )
    figure.update_xaxes(title_text="share", tickformat=PERCENT, rangemode="tozero")
    figure.update_yaxes(automargin=True, ticks="", showgrid=False)
    figure.update_layout(height=90 + 24 * len(shown), bargap=0.35, showlegend=False)
    return Plot(
        "importances",
        "Which settings matter",
        "The longer the bar, the better a setting tells the best tenth of the trials from the rest "
        "(conditional PED-ANOVA; the bars sum to 100 %). Lines span the middle 80 % of 20 resamples of the "
        "trials: where they are long, there are too few trials to be sure. Pale bars are settings that only "
        "some trials have.",
        figure,
    )


def numbers(findings: Findings) -> Plot | None:
    """The main number of each rule against the trial's value; None where the space has none."""
    runs = findings.complete
    mains = dict.fromkeys(rule.main for rule in RULES.values() if rule.main is not None)
    # A parameter without a single value is left out: its axis would have no range.
    shown = {
        main: [
            name
            for name in findings.distributions
            if main in name.split(".")[1:] and name in runs and runs[name].notna().any()
        ]
        for main in mains
    }
    shown = {main: names for main, names in shown.items() if names}
    if not shown:
        return None
    part_of = {name: _part(name, main) for main, names in shown.items() for name in names}
    parts = list(dict.fromkeys(part_of.values()))
    many = len(parts) > _MOST_PARTS
    colors = dict.fromkeys(parts, ACCENT) if many else part_colors(parts)
    count = len(shown)
    figure = _side_by_side(findings, shown, 1, count)
    seen: set[str] = set()
    for place, names in enumerate(shown.values(), start=1):
        for name in names:
            had, legend = runs[runs[name].notna()], "a layer" if many else part_of[name]
            figure.add_scatter(
                mode="markers",
                name=legend,
                legendgroup=legend,
                showlegend=legend not in seen,
                x=had[name].astype(float),
                y=had.value,
                text=[f"trial {number}, {name}" for number in had.number],
                hovertemplate=hover(findings.fraction) + " at %{x:.3g}<extra>%{text}</extra>",
                marker={"color": colors[part_of[name]], "size": 7, "opacity": 0.75},
                row=1,
                col=place,
            )
            seen.add(legend)
    figure.update_layout(height=380, legend=ABOVE)
    below = _side_by_side(findings, shown, count, 1).layout.to_plotly_json()
    *first, last = shown
    return Plot(
        "numbers",
        f"Which values of {', '.join(first) + ' and ' if first else ''}{last} worked",
        "Each dot is one setting of one trial: further right is a larger number, further "
        f"{'down' if findings.minimises else 'up'} a better value. "
        "Where the dots slope, that direction is worth a search; where they are level, the number hardly "
        "matters.",
        figure,
        narrow={key: below[key] for key in below if "axis" in key} | {"height": 60 + 260 * count},
    )


def _side_by_side(
    findings: Findings, shown: Mapping[str, Sequence[str]], rows: int, columns: int
) -> go.Figure:
    """Empty axes, one pair for each number, in a row or in a column."""
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes="all",
        horizontal_spacing=min(0.06, 0.5 / columns),
        vertical_spacing=min(0.08, 0.5 / rows),
    )
    for place, (main, names) in enumerate(shown.items()):
        row, column = (1, place + 1) if rows == 1 else (place + 1, 1)
        axis = _number_axis(findings.complete[list(names)].to_numpy(dtype=float))
        figure.update_xaxes(title_text=main, exponentformat="power", row=row, col=column, **axis)
    figure.update_yaxes(tickformat=tick_format(findings.fraction))
    figure.update_yaxes(title_text=findings.value_name, row=1, col=1)
    return figure


def _number_axis(values: np.ndarray) -> dict[str, Any]:
    """Logarithmic for numbers that span a power of ten or more."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low <= 0 or high < 10 * low:
        return {"type": "linear", "nticks": 6}
    return {"type": "log", "dtick": 1 if high < 1e5 * low else 2}


def _part(parameter: str, main: str) -> str:
    """``low`` of ``low.gamma`` and ``low.gamma.conv``."""
    words = parameter.split(".")
    return ".".join(words[: words.index(main, 1)])


def rules(findings: Findings) -> Plot | None:
    """Which rule each layer got, in the best tenth of trials and in all; None where layers are not known."""
    if not findings.network:
        return None
    everyone, best = _shares(findings)
    names, titles = list(everyone.columns), list(everyone.index)
    marks = best_rules(findings)
    places = list(range(len(names)))
    figure = go.Figure()
    for axis, which, table in (("y", "best tenth", best), ("y2", "all trials", everyone)):
        figure.add_heatmap(
            z=table.to_numpy().round(4),
            x=places,
            y=titles,
            yaxis=axis,
            coloraxis="coloraxis",
            xgap=1,
            ygap=2,
            text=[names] * len(titles),
            hovertemplate=f"%{{text}}<br>%{{y}} in %{{z:.0%}} of the {which}<extra></extra>",
        )
    figure.add_scatter(
        mode="markers",
        x=places,
        y=[marks[name] for name in names],
        marker={"symbol": "circle", "size": 6, "color": PAPER, "line": {"color": INK, "width": 1.5}},
        hoverinfo="skip",
    )
    _mark_groups(figure, _groups(findings))
    colors = {"cmin": 0, "cmax": 1, "colorscale": HEAT}
    rows = {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": titles[::-1],
        "automargin": True,
        "showgrid": False,
        "ticks": "",
    }
    figure.update_layout(
        xaxis={**layer_axis(names), "anchor": "y2"},
        yaxis={**rows, "domain": [0.53, 1], "title": {"text": "best tenth"}},
        yaxis2={**rows, "domain": [0, 0.47], "title": {"text": "all trials"}, "anchor": "x"},
        coloraxis={**colors, "colorbar": {"tickformat": PERCENT, "thickness": 10, "outlinewidth": 0}},
        showlegend=False,
        height=190 + 2 * 26 * len(titles),
    )
    return Plot(
        "rules",
        "Which rule won in which layer",
        "Columns are layers from the first to the last, rows are LRP rules; the stronger a cell's colour, "
        "the more trials gave that layer that rule: above among the best tenth of them, below among all "
        "(which is what the sampler tried). Dots mark the best composite.",
        figure,
        narrow={
            "xaxis": {**numbered_axis(names), "anchor": "y2"},
            "coloraxis": {**colors, "showscale": False},
        },
    )


def best_rules(findings: Findings) -> dict[str, str]:
    """Layer -> title of the rule that the best trial gives it."""
    return {layer: rule.title for layer, rule in _rules_of(findings, int(findings.best.number)).items()}


def _mark_groups(figure: go.Figure, groups: Sequence[str]) -> None:
    """A line between depth groups, and the name of each above its first layer."""
    firsts = [place for place, group in enumerate(groups) if place == 0 or group != groups[place - 1]]
    for place in firsts:
        if place:
            edge = {"x0": place - 0.5, "x1": place - 0.5, "y0": 0, "y1": 1, "yref": "paper"}
            figure.add_shape(type="line", line={"color": INK, "width": 1}, **edge)
        if groups[place] != "classifier" or len(firsts) == 1:  # its layer is too narrow for the name
            figure.add_annotation(
                text=groups[place],
                x=place - 0.5,
                xanchor="left",
                y=1.0,
                yref="paper",
                yanchor="bottom",
                showarrow=False,
                font_size=11,
            )


def _shares(findings: Findings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rule x layer) shares of all trials that ran, and of the best tenth of the finished ones."""
    runs = findings.complete.sort_values("value", ascending=findings.minimises, kind="stable")
    best = [int(number) for number in runs.number[: max(1, math.ceil(_BEST * len(runs)))]]
    ran = findings.trials[findings.trials.state.isin(["complete", "pruned"])]
    rest = [int(number) for number in ran.number if int(number) not in best]
    rest = rest[:: max(1, math.ceil(len(rest) / _MOST_TRIALS))]
    chosen = {number: rules for number in (*best, *rest) if (rules := _rules_of(findings, number))}
    layers = [layer.name for layer in findings.network]
    order = {name: place for place, name in enumerate(RULES)}
    found = {rule.title: rule for rules in chosen.values() for rule in rules.values()}
    # In the registry's order; a rule with a title of its own (the gradient) before the rule that it is.
    titles = sorted(
        found, key=lambda title: (order.get(found[title].name, len(order)), title == found[title].name)
    )

    def shares(numbers: Sequence[int]) -> pd.DataFrame:
        of = [chosen[number] for number in numbers if number in chosen]
        table = [
            [sum(rules[name].title == title for rules in of) / max(1, len(of)) for name in layers]
            for title in titles
        ]
        return pd.DataFrame(table, index=titles, columns=layers)

    return shares([*best, *rest]), shares(best)


def _rules_of(findings: Findings, number: int) -> dict[str, Rule]:
    """Layer -> rule in a trial; empty where it got none."""
    recipe = findings.recipe(number)
    return (
        {} if recipe is None else {layer.name: recipe.composite.rule_for(layer) for layer in findings.network}
    )


def _groups(findings: Findings) -> list[str]:
    """The depth group of every layer, as the best composite counts them."""
    recipe = findings.recipe(int(findings.best.number))
    return [] if recipe is None else [recipe.composite.group_of(layer) for layer in findings.network]
