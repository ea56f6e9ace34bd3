"""``xaiprune report``: one self-contained HTML page of a study, and its tables as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.config.tasks import ReportConfig
from xaiprune.files import replacing
from xaiprune.report import accuracy
from xaiprune.report.best_network import portray, reopened
from xaiprune.report.page import Findings, gather, write_page
from xaiprune.storage.urls import shown
from xaiprune.study import best_trial, storage_url
from xaiprune.study.threads import fitting_threads


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
            context = reopened(config, study)
            with fitting_threads(context):
                portray(context, study, folder)
        findings = gather(study, shown(storage_url(config)), folder)
    write_page(findings, path)
    print(f"page      {path}")
    if settings.csv:
        for name, frame in tables(findings).items():
            print(f"{name:<9} {write_csv(frame, path.parent / f'{name}.csv')}")


def tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """What the page shows as frames, by the name of their file."""
    found = {"trials": findings.trials, "layers": findings.layers}
    if findings.comparison is not None:
        found["accuracy"] = accuracy(findings.comparison)
    return found


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame, whole or not at all."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)
    return path
