"""The page itself: findings, figures and tables put into the template, with everything they need inlined."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

import xaiprune
from xaiprune.files import replacing
from xaiprune.report.page import compared, figures, settings, tables
from xaiprune.report.page.drawing import Figure
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.importances import importances
from xaiprune.report.page.words import percent, with_interval
from xaiprune.study import BEST_FILE

_CONTENTS = (
    ("compared", "How good is it?"),
    ("setup", "What was searched"),
    ("search", "How the search went"),
    ("settings", "What made a good composite"),
    ("best", "The best composite"),
    ("trials", "Trials"),
    ("reproduce", "To reproduce it"),
)


def write_page(findings: Findings, path: Path) -> Path:
    """Write the report.

    Args:
        findings: What it shows.
        path: File to write; complete, or as it was before.

    Returns:
        ``path``.
    """
    text = page(findings)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page(findings: Findings) -> str:
    """The report as HTML."""
    table = importances(findings.stored)
    drawn = _figures(findings, None if isinstance(table, str) else settings.importance(table))
    best = findings.best
    best_file = findings.folder / BEST_FILE
    comparison = findings.comparison
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment.get_template("page.html.j2").render(
        f=findings,
        version=xaiprune.__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        contents=_CONTENTS,
        verdict=compared.verdict(findings),
        merits=compared.figures_of_merit(findings),
        methods=compared.headline(findings),
        rate=percent(findings.fingerprint["prune"]["rate"]),
        chance=percent(None if comparison is None else comparison.chance),
        stale=findings.stale,
        paired=any(row.p for row in compared.headline(findings)),
        next_command=tables.next_command(findings),
        setup=tables.setup(findings),
        parameters=tables.parameters(findings),
        space=tables.space_text(findings),
        value_name=figures.value_name(findings),
        cost_name=findings.cost_name,
        pareto=tables.pareto(findings),
        importance_reason=table if isinstance(table, str) else "",
        best_value=with_interval(best.value, best.value_low, best.value_high),
        best_file=best_file if findings.written == best.number else None,
        recipe=tables.recipe(findings),
        costs=tables.costs(findings),
        best_trials=tables.best_trials(findings),
        states=tables.states(findings),
        steps=tables.steps(findings),
        slowest=tables.slowest(findings),
        failed=tables.failed(findings),
        commands=tables.commands(findings),
        own_command=f"xaiprune report study.name={findings.name} study.storage={findings.storage}",
        versions=tables.version_lines(findings),
        config=tables.config_text(findings),
        drawn=drawn,
        style=_asset("style.css"),
        script=_asset("figures.js"),
        plotly=get_plotlyjs(),
        figures_json=_json([_plain(figure) for figure in drawn.values() if figure is not None]),
    )


def _figures(findings: Findings, importance: Figure | None) -> dict[str, Figure | None]:
    """Every figure by name, in the order of the page; None where the study has nothing for it."""
    return {
        "curves": None if findings.comparison is None else figures.curves(findings.comparison),
        "history": figures.history(findings),
        "front": None if findings.cost_name is None else figures.front(findings),
        "importances": importance,
        "rules": settings.rules(findings),
        "numbers": settings.numbers(findings),
        "kept": figures.kept(findings),
    }


def _plain(figure: Figure) -> Mapping[str, Any]:
    found = asdict(figure)
    return {key: found[key] for key in ("id", "data", "layout", "height", "narrow")}


def _json(data: Any) -> str:
    """JSON that may stand in a script element, whatever texts are in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    """A file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
