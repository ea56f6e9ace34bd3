"""``xaiprune studies``: list, show, repair and copy studies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from xaiprune.cli.common.stored import require_ours, require_studies, storages_in, stored_study
from xaiprune.config import default_storage, study_name
from xaiprune.config.tasks import StudiesConfig
from xaiprune.errors import XaipruneError
from xaiprune.storage import (
    REASON,
    RETRY_OF,
    WORKER,
    absolute_url,
    has_heartbeats,
    open_storage,
    open_to_read,
    plain_errors,
    quiet,
    recover,
    shown,
    storage_file,
    storage_lock,
    storage_of,
)
from xaiprune.study import (
    SCHEMA,
    best_trial,
    counts,
    is_ours,
    recipe_of,
    storage_url,
    stored_fingerprint,
    value_text,
)

_FOLDER = Path("studies")
_WIDEST = 100  # characters of a value that are shown


def run(config: StudiesConfig) -> None:
    """Do what ``studies.action`` says."""
    settings = config.studies
    if settings.action != "copy" and (settings.to_storage or settings.to_name):
        raise XaipruneError("studies.to_storage and studies.to_name belong to studies.action=copy")
    if settings.action != "repair" and settings.assume_dead:
        raise XaipruneError("studies.assume_dead belongs to studies.action=repair")
    actions: dict[str, Callable[[StudiesConfig], None]] = {
        "list": list_studies,
        "show": show,
        "repair": repair,
        "copy": copy,
    }
    actions[settings.action](config)


@dataclass(frozen=True)
class Row:
    """A study in the list: all as text."""

    name: str
    sampled: str
    presets: str
    failed: str
    running: str
    best: str
    last: str
    storage: str


def list_studies(config: StudiesConfig) -> None:
    """One line a study: of the storage, or of all in ``studies/`` where none was given.

    Raises:
        XaipruneError: A storage cannot be read; the others are listed first.
    """
    name = str(config.study.name)
    named = name != study_name(config)
    if config.study.storage != default_storage(name):
        urls = [storage_url(config)]
    else:
        urls = [absolute_url(url) for url in storages_in(_FOLDER)]
        if not urls:
            raise XaipruneError(f"no studies in {_FOLDER.absolute()}; 'xaiprune search' makes one")
    rows, failures = [], []
    for url in urls:
        try:
            rows += [row for row in _rows(url) if not named or row.name == name]
        except XaipruneError as error:
            failures.append(error)
    if rows:
        _print_table(
            [Row("study", "sampled", "presets", "failed", "running", "best", "last trial", "storage"), *rows]
        )
    elif not failures:
        raise XaipruneError(
            f"no study '{name}' in {', '.join(map(shown, urls))}" if named else f"{shown(urls[0])} is empty"
        )
    if rows and named:
        return  # it was in none of those that cannot be read
    for failure in failures[1:]:
        print(f"xaiprune: {failure}", file=sys.stderr)
    if failures:
        raise failures[0]


def show(config: StudiesConfig) -> None:
    """Print what a study is of, with what it was made, its best trial and its failed ones."""
    with stored_study(config) as study:
        trials = study.get_trials(deepcopy=False)
        now = counts(study)
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        _line("study", f"{study.study_name} in {shown(storage_url(config))}")
        done = f"{now.sampled} sampled and {now.presets} presets done"
        states = f"{done}, {now.failed} failed, {now.running} running, {waiting} queued"
        _line("trials", f"{states}; last {_last(study)}")
        if not is_ours(study):
            _line("schema", f"{study.user_attrs.get('schema', 'none')}; this xaiprune reads {SCHEMA}")
            return
        _line("set-up", "")
        settings = dict(_flat(stored_fingerprint(study)))
        width = max(map(len, settings))
        for key, value in settings.items():
            print(f"  {key.ljust(width)}  {_short(value)}".rstrip())
        for versions in study.user_attrs["versions"]:
            _line("versions", ", ".join(f"{name} {value}" for name, value in versions.items() if value))
        if now.done:
            best = best_trial(study)
            _line("best", f"trial {best.number}: {value_text(best)}; {recipe_of(best).summary()}")
        else:
            _line("best", "no trial has finished yet")
        for trial in trials:
            if trial.state is TrialState.FAIL:
                _line("failed", f"trial {trial.number}: {_reason(trial, trials)}")
            elif trial.state is TrialState.RUNNING:
                _line("running", f"trial {trial.number}: {_worker(trial)}")


def repair(config: StudiesConfig) -> None:
    """Queue the trials again whose workers have certainly ended, by their process or their heartbeat."""
    with stored_study(config) as study:
        require_ours(study)  # others do not sign their trials, and would look abandoned
        before = _retried(study)
        with storage_lock(storage_url(config)):
            recover(study, unseen=config.studies.assume_dead)
            optuna.storages.fail_stale_trials(study)
        for number in sorted(_retried(study) - before):
            print(f"trial {number} was not finished; its parameters are queued again")
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            print(f"trial {trial.number} is left alone: {_worker(trial)}")
        if running and not has_heartbeats(storage_of(study)):
            print(
                "this storage has no heartbeats, so it is not known here whether those processes still run; "
                "if none does, studies.assume_dead=true queues their trials again"
            )
        if _retried(study) == before and not running:
            print(f"nothing to repair: study '{study.study_name}' has no running trial")
        elif _retried(study) != before:
            print("the search that made the study, run again, takes the queued trials first")


def copy(config: StudiesConfig) -> None:
    """Copy a study with all its trials, whole or not at all.

    Raises:
        XaipruneError: There is a study by that name already, or the source has running trials.
    """
    settings = config.studies
    source = storage_url(config)
    if settings.to_name is None and settings.to_storage is None:
        raise XaipruneError("studies.action=copy needs studies.to_name=NAME, studies.to_storage=URL or both")
    name = settings.to_name or str(config.study.name)
    target = absolute_url(settings.to_storage or default_storage(name))
    with stored_study(config) as study:
        if running := counts(study).running:
            raise XaipruneError(
                f"study '{study.study_name}' has {running} running trials; let them end, or see to those of "
                "killed workers with studies.action=repair, and copy then"
            )
        file = storage_file(target)
        if file is not None and file.exists():
            require_studies(target)  # somebody else's database gets no tables of ours
        with plain_errors(target), storage_lock(target), quiet():
            storage = open_storage(target)
            _copy(study, storage, name, target)
        trials = len(study.get_trials(deepcopy=False))
        print(f"copied  {trials} trials of '{study.study_name}' in {shown(source)}")
        print(f"to      '{name}' in {shown(target)}")


def _copy(study: optuna.Study, storage: optuna.storages.BaseStorage, name: str, target: str) -> None:
    try:
        optuna.copy_study(
            from_study_name=study.study_name,
            from_storage=storage_of(study),
            to_storage=storage,
            to_study_name=name,
        )
    except DuplicatedStudyError:
        raise XaipruneError(
            f"there is a study '{name}' in {shown(target)} already; set studies.to_name=ANOTHER_NAME"
        ) from None
    except BaseException:
        # Half a study looks like a whole one.
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        raise


def _rows(url: str) -> Iterator[Row]:
    require_studies(url)
    with plain_errors(url), quiet():
        storage = open_to_read(url)
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            now = counts(study)
            best = value_text(best_trial(study)) if is_ours(study) and _finished(study) else "-"
            sampled, presets, failed, running = map(str, (now.sampled, now.presets, now.failed, now.running))
            yield Row(name, sampled, presets, failed, running, best, _last(study), shown(url))


def _print_table(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column, heading in vars(rows[0]).items():
        numbers = column not in ("name", "storage")
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    for row in rows[1:]:
        table.add_row(*vars(row).values())
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a file or a pipe has no width
        console.width = 10_000
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()))


def _line(name: str, text: str) -> None:
    print(f"{name:<9} {text}".rstrip())


def _finished(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _last(study: optuna.Study) -> str:
    """When the last trial ended (or began, while none has ended), in local time."""
    trials = study.get_trials(deepcopy=False)
    times = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    times = times or [trial.datetime_start for trial in trials if trial.datetime_start]
    return f"{max(times):%Y-%m-%d %H:%M}" if times else "-"


def _retried(study: optuna.Study) -> set[int]:
    """Numbers of the trials that were queued again."""
    trials = study.get_trials(deepcopy=False)
    return {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}


def _reason(trial: FrozenTrial, trials: list[FrozenTrial]) -> str:
    if reason := trial.user_attrs.get(REASON):
        return str(reason)
    again = [t.number for t in trials if t.user_attrs.get(RETRY_OF) == trial.number]
    return f"left unfinished; tried again as trial {again[0]}" if again else "no reason given"


def _worker(trial: FrozenTrial) -> str:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        return "its worker has not signed it yet"
    number = f"worker {worker['number']}, " if "number" in worker else ""
    return f"{number}process {worker['pid']} on {worker['host']}"


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a nested dictionary."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) and value else str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
