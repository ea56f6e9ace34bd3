"""``xaiprune report``: one self-contained HTML page of a study, and its tables as CSV."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas as pd

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import as_searched, require_same
from xaiprune.config.tasks import ReportConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.report.best_network import write_best_network
from xaiprune.report.page import Findings, read_findings, write_page
from xaiprune.storage import shown
from xaiprune.study import RUNS, best_trial, fitting_threads, open_search, storage_url
from xaiprune.trial import SearchSetup


def run(config: ReportConfig) -> None:
    """Write the page and the CSV files, and say where.

    Raises:
        XaipruneError: No such study, none of ours, or without a finished trial.
    """
    settings = config.report
    folder = Path(config.output_dir or ".").absolute()
    path = Path(settings.output).expanduser().absolute() if settings.output else folder / "report.html"
    with stored_study(config) as study:
        require_ours(study)
        if settings.network:
            best_trial(study)  # refuses a study without any before the network is opened
            setup = reopened(config, study)
            with fitting_threads(setup.session, config.threads):
                write_best_network(setup, study, folder)
        findings = read_findings(study, shown(storage_url(config)), folder)
    write_page(findings, path)
    print(f"page      {path}")
    if settings.csv:
        for name, frame in tables(findings).items():
            print(f"{name:<9} {write_csv(frame, path.parent / f'{name}.csv')}")


def reopened(config: ReportConfig, study: optuna.Study) -> SearchSetup:
    """The set-up of the search that made a study, by the settings noted with it.

    Raises:
        XaipruneError: None are noted, or network or images are not what they were.
    """
    if not study.user_attrs.get(RUNS):
        raise XaipruneError(
            f"study '{study.study_name}' was made before searches noted their settings; run its search "
            "command again (no trial is repeated), which also writes what report.network=true would"
        )
    setup = open_search(as_searched(config, study, "report"))
    require_same(study, setup.config, setup.session)
    return setup


def tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """What the page shows as frames, by the name of their file."""
    return {"trials": findings.trials, "layers": findings.layers}


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame, whole or not at all."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)
    return path
