"""How good the best found is: the headline table, the sentence above it, and the key figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xaiprune.report.page.findings import Findings
from xaiprune.report.page.format import interval, percent, plural, seconds
from xaiprune.report.palette import method_styles
from xaiprune.report.table import macs_text, p_text, perplexity_cells


@dataclass(frozen=True)
class Method:
    """A row of the headline table.

    Attributes:
        name: The method.
        color: Of its curve; None for the dense network.
        best: Whether it is what the study found.
        top1: At the target rate, as text.
        interval: Of ``top1``, as text.
        low: Lower end of the interval, a fraction.
        high: Upper end, a fraction.
        at: ``top1`` as a fraction.
        curve_mean: Mean over the rates, as text.
        trapezoid: Area under the curve, as text.
        kept: Highest rate that keeps 95 % of the dense top-1, as text.
        p: Of the paired test against the best found, as text.
        macs: Part of the dense network's MACs that is left, as text.
        perplexity: Of text: perplexity, its interval and p, as text; else empty.
    """

    name: str
    color: str | None
    best: bool
    top1: str
    interval: str
    low: float
    high: float
    at: float
    curve_mean: str
    trapezoid: str
    kept: str
    p: str
    macs: str
    perplexity: tuple[str, ...] = ()


def headline(findings: Findings) -> list[Method]:
    """Who was compared and how each did on the test split; empty without a comparison."""
    if findings.methods is None:
        return []
    table = findings.methods
    styles = method_styles([str(name) for name in table.method if name != "dense"])
    rows = [
        Method(
            name=str(row["method"]),
            color=None if row["kind"] == "dense" else styles[str(row["method"])].color,
            best=row["kind"] == "best",
            top1=percent(row["top1"]),
            interval=interval(row["low"], row["high"]),
            low=float(row["low"]),
            high=float(row["high"]),
            at=float(row["top1"]),
            curve_mean=percent(row["curve_mean"]) if row["kind"] != "dense" else "",
            trapezoid=percent(row["trapezoid"]) if row["kind"] != "dense" else "",
            kept="" if row["kind"] == "dense" else _rate(row["rate_kept"]),
            p=p_text(row["p"]),
            macs=macs_text(row["macs"]),
            perplexity=perplexity_cells(row) if "perplexity" in row else (),
        )
        for row in table.to_dict("records")
    ]
    # The dense network on top, for reference; then the most accurate first.
    return sorted(rows, key=lambda row: (row.color is not None, -row.at))


def verdict(findings: Findings) -> str:
    """One sentence: how the best found did, and against whom."""
    rows = headline(findings)
    best = next((row for row in rows if row.best), None)
    others = [row for row in rows if row.color is not None and not row.best]
    if findings.comparison is None or best is None or not others:
        return ""
    rival = max(others, key=lambda row: row.at)
    if rival.p:
        same = f"on the same {findings.comparison.examples}"
        how = f"p {rival.p} in a paired test {same}, where being the best of several favours it"
    else:
        apart = best.low > rival.high or rival.low > best.high
        how = "their intervals do not overlap" if apart else "their intervals overlap"
    if best.at == rival.at:
        standing = f"as accurate as {rival.name}"
    else:
        more = "more" if best.at > rival.at else "less"
        standing = f"{100 * abs(best.at - rival.at):.1f} points {more} accurate than {rival.name}"
    comparison = findings.comparison
    return (
        f"With {100 * comparison.rate:g} % of the {comparison.unit_count:,} {comparison.units} removed, the "
        f"best composite found keeps {best.top1} ({best.interval}) on {comparison.test_images:,} test "
        f"{comparison.examples} that the search never saw: {standing}, the best of "
        f"{plural(len(others), 'other method')} compared ({rival.top1}, {rival.interval}; {how})."
    )


def key_figures(findings: Findings) -> list[tuple[str, str, str]]:
    """(what, figure, small print) of the most important numbers."""
    best, rows = findings.best, headline(findings)
    found = []
    compared = next((row for row in rows if row.best), None)
    if compared is not None and findings.comparison is not None:
        images = f"{findings.comparison.test_images:,} test {findings.comparison.examples}"
        found.append(("best found, test", compared.top1, f"{compared.interval}; {images}"))
    for name, row in (("best found", best), ("Taylor preset", findings.taylor)):
        if row is not None:
            value, _, bounds = findings.shown(row.value, row.value_low, row.value_high).partition(" (")
            bounds, trial = bounds.removesuffix(")"), f"trial {row.number}"
            small = "; ".join(filter(None, (bounds, trial))) if row is best else bounds or trial
            found.append((f"{name}, validation", value, small))
    if findings.dense is not None:
        known = findings.dense_value
        text = percent(findings.dense["top1"]) if known is None else findings.shown(known)
        noun = "windows" if "window" in findings.dense else "images"
        found.append(("dense, validation", text, f"{findings.dense['images']:,} {noun}"))
    done = int(findings.trials.state.isin(["complete", "pruned"]).sum())
    found.append(("trials", f"{done:,}", f"in {seconds(float(findings.trials.seconds.sum()))}"))
    return found


def _rate(rate: float) -> str:
    return "none" if math.isnan(rate) else f"{100 * rate:g} %"
