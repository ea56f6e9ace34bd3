"""The page's plots of trials: their values one after the other, against cost; and units kept by layer."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from xaiprune.report.curves import COST_NAMES
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.plot_parts import (
    ABOVE,
    FAINT,
    PERCENT,
    Plot,
    add_level,
    hover,
    layer_axis,
    numbered_axis,
    tick_format,
)
from xaiprune.report.palette import BEST, TAYLOR

_MOST_TEXTS = 2000  # with more trials, a dot's text is its value and number only


def history(findings: Findings) -> Plot:
    """Value by number of trial, and the best so far."""
    runs = findings.complete
    preset = runs.preset.notna()
    figure = go.Figure()
    _add_trials(figure, "trial", runs[~preset], FAINT, findings, size=6)
    _add_trials(figure, "preset", runs[preset], TAYLOR, findings, size=8, symbol="diamond")
    raced = findings.raced
    _add_trials(figure, "stopped in a race", raced, FAINT, findings, size=6, symbol="circle-open")
    figure.add_scatter(
        mode="lines",
        name="best so far",
        x=findings.trials.number,
        y=findings.trials.best,
        line={"color": BEST, "width": 2.2, "shape": "hv"},
        hovertemplate=hover(findings.fraction) + " up to trial %{x}<extra>best so far</extra>",
    )
    if (dense := findings.dense_value) is not None and not findings.finds_rate:
        add_level(figure, dense, f"dense {findings.shown(dense)}")
    figure.update_xaxes(title_text="trial", rangemode="tozero")
    figure.update_yaxes(title_text=findings.value_name, tickformat=tick_format(findings.fraction))
    figure.update_layout(legend=ABOVE)
    return Plot(
        "history",
        "Every trial, and the best so far",
        "Each dot is a trial: one composite that was tried. Diamonds are the known presets, which every "
        "study tries first; the line is the best value so far. Values are measured on the validation images"
        + (", those of trials stopped in a race on the first of them." if len(raced) else ".")
        + _without_value(findings, raced),
        figure,
    )


def front(findings: Findings) -> Plot:
    """Value against cost, with the trials that no other beats in both."""
    cost, cost_name = (
        f"cost.{findings.cost_name}",
        COST_NAMES.get(str(findings.cost_name), findings.cost_name),
    )
    runs = findings.complete
    figure = go.Figure()
    _add_trials(figure, "trial", runs[~runs.front], FAINT, findings, x=cost, size=6)
    _add_trials(figure, "on the front", runs[runs.front].sort_values(cost), BEST, findings, x=cost, size=9)
    figure.update_traces(
        mode="lines+markers",
        line={"color": BEST, "width": 1.5, "shape": "hv"},
        selector={"name": "on the front"},
    )
    figure.update_xaxes(title_text=f"{cost_name}, part of the dense network's", tickformat=PERCENT)
    figure.update_yaxes(title_text=findings.value_name, tickformat=tick_format(findings.fraction))
    figure.update_layout(height=420, legend=ABOVE)
    return Plot(
        "front",
        "Accuracy against cost",
        f"Each dot is a trial; no other trial is both more accurate and cheaper in {cost_name} than those on "
        "the line.",
        figure,
    )


def kept(findings: Findings) -> Plot | None:
    """Share of each layer's units that the best trial keeps; None where the layers' sizes are not known."""
    best = findings.layers[findings.layers.number == findings.best.number]
    if not len(best) or best.share.isna().any():
        return None
    names = [str(name) for name in best.layer]
    figure = go.Figure()
    figure.add_bar(
        name=f"best found (trial {findings.best.number})",
        x=list(range(len(names))),
        y=best.share,
        marker={"color": BEST, "opacity": 0.85},
        text=[f"{name}: {k} of {u} kept" for name, k, u in zip(names, best.kept, best.units, strict=True)],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    taylor = findings.taylor
    if taylor is not None and taylor.number != findings.best.number:
        rows = findings.layers[findings.layers.number == taylor.number]
        figure.add_scatter(
            mode="markers",
            name="preset taylor",
            x=[names.index(str(name)) for name in rows.layer],
            y=rows.share,
            marker={"color": TAYLOR, "size": 8, "symbol": "diamond"},
            text=[f"{layer}: {k} kept" for layer, k in zip(rows.layer, rows.kept, strict=True)],
            hovertemplate="%{text}<extra>taylor</extra>",
        )
    figure.update_xaxes(layer_axis(names))
    figure.update_yaxes(title_text="units kept", tickformat=PERCENT, range=[0, 1.04])
    figure.update_layout(height=400, bargap=0.25, legend=ABOVE)
    return Plot(
        "kept",
        "What is kept of each layer",
        "Each bar is a layer, in the order in which they run; its height is the part of its units that the "
        "best composite keeps. Diamonds: what the Taylor preset keeps.",
        figure,
        narrow={"xaxis": numbered_axis(names)},
    )


def _without_value(findings: Findings, raced: pd.DataFrame) -> str:
    """A sentence on the trials that have no dot; empty where all have one."""
    counts = findings.trials[~findings.trials.number.isin(raced.number)].state.value_counts()
    words = {"pruned": "stopped in a race", "fail": "failed", "running": "running", "waiting": "queued"}
    parts = [f"{counts[state]:,} {word}" for state, word in words.items() if counts[state]]
    return f" Without a value, and not shown: {', '.join(parts)}." if parts else ""


def _add_trials(
    figure: go.Figure,
    name: str,
    rows: pd.DataFrame,
    color: str,
    findings: Findings,
    *,
    x: str = "number",
    size: int,
    symbol: str = "circle",
) -> None:
    """A dot a trial; nothing without trials."""
    if len(rows):
        figure.add_scatter(
            mode="markers",
            name=name,
            x=rows[x],
            y=rows.value,
            text=[_trial_text(findings, row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<extra></extra>",
            marker={"color": color, "size": size, "symbol": symbol, "opacity": 0.9},
        )


def _trial_text(findings: Findings, row: Any) -> str:
    number = int(row.number)
    label = f"trial {number}" + (f", preset {row.preset}" if pd.notna(row.preset) else "")
    label += ", stopped in a race" if row.state == "pruned" else ""
    text = f"<b>{findings.shown(row.value, row.value_low, row.value_high)}</b>  {label}"
    recipe = findings.recipe(number) if len(findings.trials) <= _MOST_TEXTS else None
    return text if recipe is None else f"{text}<br>{recipe.summary().replace('; ', '<br>')}"
