"""``xaiprune export``: recipes of a study as YAML files, which every task takes as ``recipe=FILE``.

Also as code for zennit, and as what they lead to: plan, smaller network, ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import given_file
from xaiprune.config import command
from xaiprune.config.tasks import ExportConfig, ExportSettings
from xaiprune.errors import XaipruneError
from xaiprune.study import (
    BEST_FILE,
    RUNS,
    best_trial,
    distinct_trials,
    finished_trial,
    front,
    save_trial,
    stored_fingerprint,
    value_text,
    where_stored,
)

_NOT_IN_FILES = ("min_units", "coupled")  # settings of ``prune`` that no recipe has


def run(config: ExportConfig) -> None:
    """Write the best, the given, or the best few trials' recipes and what was asked for beside them."""
    settings = config.export
    _check(config)
    folder = Path(config.output_dir or ".").absolute()
    if (file := given_file(config)) is not None:
        path = Path(file).expanduser().absolute()
        _write_further(config, None, {path.stem: path}, path.parent)
        return
    with stored_study(config) as study:
        require_ours(study)
        chosen = choose(study, settings)
        files = {}
        for stem, trial in chosen.items():
            files[stem] = save_trial(study, trial, folder / f"{stem}.yaml")
            print(f"trial {trial.number:>4}  {value_text(trial):>7}  {files[stem]}")
        if len(chosen) < settings.top:
            print(f"the study has only {len(chosen)} finished trials that remove different units")
        _write_further(config, study, files, folder)
    first = next(iter(files.values()))
    print(f"to use it: {usage(config, study, first)}")


def choose(study: optuna.Study, settings: ExportSettings) -> dict[str, FrozenTrial]:
    """Name of the file -> trial, as the settings ask."""
    if settings.trial is not None:
        return {f"trial-{settings.trial}": finished_trial(study, settings.trial)}
    if settings.front:
        return {f"front-{rank:02d}": trial for rank, trial in enumerate(front(study), start=1)}
    if settings.top > 1:
        trials = distinct_trials(study, settings.top)
        return {f"top-{rank:02d}": trial for rank, trial in enumerate(trials, start=1)}
    return {Path(BEST_FILE).stem: best_trial(study)}


def _write_further(
    config: ExportConfig, study: optuna.Study | None, files: Mapping[str, Path], folder: Path
) -> None:
    """What is asked for beside the YAML files; that alone needs torch and the network."""
    if config.opens_network:
        from xaiprune.cli.common.exporting import write_further

        write_further(config, study, files, folder)


def usage(config: ExportConfig, study: optuna.Study, path: Path) -> str:
    """The command that removes what the trial of a file did: network, images and settings are the study's.

    Of a study from before searches noted them, network and pruning settings are typed, as far as it knows.
    """
    where = where_stored(config)
    if study.user_attrs.get(RUNS):
        return command("prune", where if path.name == BEST_FILE else {**where, "recipe": str(path)})
    fingerprint = stored_fingerprint(study) or {}
    prune = {f"prune.{key}": value for key, value in fingerprint["prune"].items() if key in _NOT_IN_FILES}
    return command("prune", {"recipe": str(path), "model": fingerprint["model"]["name"], **prune})


def _check(config: ExportConfig) -> None:
    settings = config.export
    asked = [
        key
        for key, is_set in (
            ("export.trial", settings.trial is not None),
            ("export.top", settings.top > 1),
            ("export.front", settings.front),
        )
        if is_set
    ]
    if len(asked) > 1:
        raise XaipruneError(f"{' and '.join(asked)} name different trials; set one of them")
    if (file := given_file(config)) is not None and asked:
        raise XaipruneError(f"{asked[0]} chooses among a study's trials, {file} is one; set one of them")
