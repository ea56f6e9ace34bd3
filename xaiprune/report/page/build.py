"""The page itself: the template filled with findings, plots and tables; scripts and styles are inlined."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import jinja2
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from xaiprune._version import __version__
from xaiprune.comparison.table import Comparison
from xaiprune.files import replacing
from xaiprune.report.page import compared, curves, figures, settings, tables
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.format import percent
from xaiprune.report.page.importances import importances
from xaiprune.report.page.plot_parts import Plot
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
        path: File to write; on an error it stays as it was.

    Returns:
        ``path``.
    """
    text = page(findings)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page(findings: Findings) -> str:
    """The report as HTML."""
    table = importances(findings.stored, findings.measure, minimises=findings.minimises)
    plots = _plots(findings, None if isinstance(table, str) else settings.importance(table))
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
        version=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        contents=_CONTENTS,
        verdict=compared.verdict(findings),
        key_figures=compared.key_figures(findings),
        methods=compared.headline(findings),
        rate=percent(findings.fingerprint["prune"]["rate"]),
        chance=percent(None if comparison is None else comparison.chance),
        measure=Comparison.measure if comparison is None else comparison.measure,
        stale=findings.stale,
        paired=any(row.p for row in compared.headline(findings)),
        counted=any(row.macs for row in compared.headline(findings)),
        next_command=tables.next_command(findings),
        setup=tables.setup(findings),
        parameters=tables.parameters(findings),
        space=tables.space_text(findings),
        value_name=findings.value_name,
        cost_name=findings.cost_name,
        pareto=tables.pareto(findings),
        importance_reason=table if isinstance(table, str) else "",
        best_value=findings.shown(best.value, best.value_low, best.value_high),
        best_file=best_file if findings.written == best.number else None,
        recipe=tables.recipe(findings),
        costs=tables.costs(findings),
        best_trials=tables.best_trials(findings),
        states=tables.states(findings),
        steps=tables.steps(findings),
        slowest=tables.slowest(findings),
        failed=tables.failed(findings),
        commands=tables.commands(findings),
        best_in_a_line=tables.best_in_a_line(findings),
        use_command=tables.of_study("prune", findings),
        compare_command=tables.of_study("compare", findings),
        network_command=tables.of_study("report", findings, **{"report.network": True}),
        own_command=tables.of_study("report", findings),
        versions=tables.version_lines(findings),
        config=tables.config_text(findings),
        plots=plots,
        style=_asset("style.css"),
        script=_asset("figures.js"),
        plotly=get_plotlyjs(),
        figures_json=to_json_plotly(
            [plot.to_dict() for plot in plots.values() if plot is not None], engine="json"
        ),
    )


def _plots(findings: Findings, importance: Plot | None) -> dict[str, Plot | None]:
    """Every plot by name, in the order of the page; None where the study has no data for it."""
    return {
        "curves": None if findings.comparison is None else curves.curves(findings.comparison),
        "each": None if findings.comparison is None else curves.each(findings.comparison),
        "history": figures.history(findings),
        "front": None if findings.cost_name is None else figures.front(findings),
        "importances": importance,
        "rules": settings.rules(findings),
        "numbers": settings.numbers(findings),
        "kept": figures.kept(findings),
    }


def _asset(name: str) -> str:
    """A file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
