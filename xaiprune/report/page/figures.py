"""The page's figures of accuracy: along the rates, over the trials, against cost; and what is kept where."""

from __future__ import annotations

from typing import Any

import pandas as pd

from xaiprune.comparison.table import Comparison
from xaiprune.report.frames import accuracy
from xaiprune.report.page.drawing import (
    ABOVE,
    FAINT,
    Figure,
    layer_axis,
    line,
    note,
    numbered_axis,
    percent_axis,
    plain,
)
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.words import percent, plural, with_interval
from xaiprune.report.palette import BEST, TAYLOR, method_styles

_MOST_TEXTS = 2000  # trials beyond which a dot says no more than its number


def curves(comparison: Comparison) -> Figure:
    """Top-1 along the rates for every method."""
    frame = accuracy(comparison)
    dense = frame[frame.kind == "dense"].sort_values("part").iloc[0]  # on the curve images, if it was
    rows = frame[frame.kind != "dense"]
    if comparison.curve_images < comparison.test_images:
        rows = rows[rows.part == "curve"]  # the target's figures are of other images
    by_rate = rows.groupby(["method", "rate"], observed=True)[["top1", "low", "high"]].mean().reset_index()
    methods = [str(method) for method in by_rate.method.unique()]
    styles = method_styles(methods)
    target = frame[frame.part == "target"].groupby("method", observed=True).top1.mean()
    data: list[dict[str, Any]] = []
    for method in sorted(methods, key=lambda name: -target.get(name, 0)):
        part, style = by_rate[by_rate.method == method].sort_values("rate"), styles[method]
        if style.bold:
            data.append(_band(part, style.color))
        text = [with_interval(*row) for row in part[["top1", "low", "high"]].itertuples(index=False)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": method,
                "x": plain(part.rate),
                "y": plain(part.top1),
                "text": text,
                "hovertemplate": "%{text} at %{x:.0%}<extra>%{fullData.name}</extra>",
                "line": {
                    "color": style.color,
                    "width": style.width,
                    "dash": {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}[style.line],
                },
                "marker": {"size": 6 if style.bold else 3.5, "color": style.color},
                "opacity": style.alpha,
                "cliponaxis": False,
                "zorder": 3 if style.bold else 2,
            }
        )
    images = plural(comparison.curve_images, "test image")
    return Figure(
        "curves",
        "Accuracy as more is removed",
        f"Each line is one way to decide which {comparison.units} go first; the higher it stays, the better "
        f"its ranking. Top-1 on {images}, no fine-tuning; the band is the 95 % interval of the best found "
        f"over the images, random is the mean of its seeds, and the vertical line is the rate of this study.",
        data,
        {
            "xaxis": {
                **percent_axis(f"rate: part of the {comparison.unit_count:,} {comparison.units} removed"),
                "range": [0, float(by_rate.rate.max()) + 0.005],
            },
            "yaxis": {**percent_axis("top-1"), "range": [0, 1.04]},
            "shapes": [
                line(y=dense.top1),
                line(y=comparison.chance),
                line(x=comparison.rate, dash="solid"),
            ],
            "annotations": [
                note(f"dense {percent(dense.top1)}", dense.top1, "bottom"),
                note(f"chance {percent(comparison.chance)}", comparison.chance, "bottom"),
            ],
            "legend": {"x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"},
        },
        height=460,
        narrow={"legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"}, "height": 640},
    )


def history(findings: Findings) -> Figure:
    """Value by number of trial, and the best so far."""
    frame, runs = findings.trials, findings.complete
    preset = runs.preset.notna()
    data = [
        _dots("trial", runs[~preset], FAINT, findings, size=6),
        _dots("preset", runs[preset], TAYLOR, findings, size=8, symbol="diamond"),
    ]
    data = [trace for trace in data if trace["x"]]
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": plain(frame.number),
            "y": plain(frame.best),
            "line": {"color": BEST, "width": 2.2, "shape": "hv"},
            "hovertemplate": "%{y:.1%} up to trial %{x}<extra>best so far</extra>",
        }
    )
    lines, notes = [], []
    if findings.dense is not None and findings.objective["name"] != "max_rate_at_drop":
        lines.append(line(y=findings.dense["top1"]))
        notes.append(note(f"dense {percent(findings.dense['top1'])}", findings.dense["top1"], "bottom"))
    return Figure(
        "history",
        "Every trial, and the best so far",
        "Each dot is a trial: one composite, tried. Diamonds are the known presets, which every study tries "
        "first; the line is the best value up to there. Values are measured on the validation images."
        + _without_value(findings),
        data,
        {
            "xaxis": {"title": {"text": "trial"}, "rangemode": "tozero"},
            "yaxis": percent_axis(value_name(findings)),
            "shapes": lines,
            "annotations": notes,
            "legend": ABOVE,
        },
    )


def front(findings: Findings) -> Figure:
    """Value against cost, with the trials that no other beats in both."""
    cost = f"cost.{findings.cost_name}"
    runs = findings.complete
    best = runs[runs.front].sort_values(cost)
    data = [
        _dots("trial", runs[~runs.front], FAINT, findings, x=cost, size=6),
        {
            **_dots("on the front", best, BEST, findings, x=cost, size=9),
            "mode": "lines+markers",
            "line": {"color": BEST, "width": 1.5, "shape": "hv"},
        },
    ]
    return Figure(
        "front",
        "Accuracy against cost",
        f"Each dot is a trial; no other trial is both more accurate and cheaper in {_cost_word(findings)} "
        "than those on the line.",
        data,
        {
            "xaxis": percent_axis(f"{_cost_word(findings)}, part of the dense network's"),
            "yaxis": percent_axis(value_name(findings)),
            "legend": ABOVE,
        },
        height=420,
    )


def kept(findings: Findings) -> Figure | None:
    """Share of each layer's units that the best trial keeps; None where sizes are not known."""
    best = findings.layers[findings.layers.number == findings.best.number]
    if not len(best) or best.share.isna().any():
        return None
    names = [str(name) for name in best.layer]
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": f"best found (trial {findings.best.number})",
            "x": list(range(len(names))),
            "y": plain(best.share),
            "marker": {"color": BEST, "opacity": 0.85},
            "text": [
                f"{name}: {k} of {u} kept" for name, k, u in zip(names, best.kept, best.units, strict=True)
            ],
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    runs = findings.complete
    taylor = runs[(runs.preset == "taylor").fillna(False).astype(bool)]
    if len(taylor) and taylor.number.iloc[0] != findings.best.number:
        rows = findings.layers[findings.layers.number == taylor.number.iloc[0]]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "preset taylor",
                "x": [names.index(str(name)) for name in rows.layer],
                "y": plain(rows.share),
                "marker": {"color": TAYLOR, "size": 8, "symbol": "diamond"},
                "text": [f"{layer}: {k} kept" for layer, k in zip(rows.layer, rows.kept, strict=True)],
                "hovertemplate": "%{text}<extra>taylor</extra>",
            }
        )
    return Figure(
        "kept",
        "What stays in each layer",
        "Each bar is a layer, in the order in which they run; its height is the part of its units that the "
        "best composite keeps. Diamonds: what the Taylor preset keeps.",
        data,
        {
            "xaxis": layer_axis(names),
            "yaxis": {**percent_axis("units kept"), "range": [0, 1.04]},
            "bargap": 0.25,
            "legend": ABOVE,
        },
        height=400,
        narrow={"xaxis": numbered_axis(names)},
    )


def value_name(findings: Findings) -> str:
    """What a value of the study is."""
    objective, rates = findings.objective, findings.objective["rates"]
    if objective["name"] == "max_rate_at_drop":
        return f"highest rate that keeps {objective.get('keep', 0.95):.0%} of the dense top-1"
    if objective["name"] == "top1_at_rate" and len(rates) == 1:
        return (
            "top-1"
            if findings.fingerprint.get("space", {}).get("rate")
            else f"top-1 at {rates[0]:.4g} removed"
        )
    kind = "area under the curve" if objective["name"] == "curve_trapezoid" else "mean top-1"
    return f"{kind} over {len(rates)} rates"


def _without_value(findings: Findings) -> str:
    """A sentence on the trials that have no dot; nothing where all have one."""
    counts = findings.trials.state.value_counts()
    words = {"pruned": "stopped in a race", "fail": "failed", "running": "running", "waiting": "queued"}
    parts = [f"{counts[state]:,} {word}" for state, word in words.items() if counts[state]]
    return f" Without a value, and not shown: {', '.join(parts)}." if parts else ""


def _cost_word(findings: Findings) -> str:
    return {"macs": "MACs", "params": "parameters"}.get(str(findings.cost_name), str(findings.cost_name))


def _dots(
    name: str,
    rows: pd.DataFrame,
    color: str,
    findings: Findings,
    *,
    x: str = "number",
    size: int,
    symbol: str = "circle",
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": plain(rows[x]),
        "y": plain(rows.value),
        "text": [_trial_text(findings, int(number)) for number in rows.number],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": color, "size": size, "symbol": symbol, "opacity": 0.9},
    }


def _trial_text(findings: Findings, number: int) -> str:
    row: Any = findings.trials.loc[number]
    label = f"trial {number}" + (f", preset {row.preset}" if pd.notna(row.preset) else "")
    text = f"<b>{with_interval(row.value, row.value_low, row.value_high)}</b>  {label}"
    recipe = findings.recipe(number) if len(findings.trials) <= _MOST_TEXTS else None
    return text if recipe is None else f"{text}<br>{recipe.summary().replace('; ', '<br>')}"


def _band(part: pd.DataFrame, color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [*plain(part.rate), *plain(part.rate)[::-1]],
        "y": [*plain(part.high), *plain(part.low)[::-1]],
        "fill": "toself",
        "fillcolor": f"{color}26",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "zorder": 1,
    }
