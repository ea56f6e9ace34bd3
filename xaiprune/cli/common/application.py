"""Run one task as a Hydra application."""

import importlib
import json
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TextIO

import hydra

# Private: Hydra has no public reader of its own flags; pyproject.toml bounds the version.
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from xaiprune.cli.common.allocator import keep_freed_memory
from xaiprune.cli.common.flags import spelled_out
from xaiprune.cli.common.sweep_table import FIGURES, sweep_table
from xaiprune.config import (
    FIXED_FILES,
    TASKS,
    CommandLine,
    Config,
    Sweep,
    command,
    conf_dir,
    current_command_line,
    finish,
    is_file_name,
    label_of,
    named_of,
    overridden_keys,
    prepare,
    register_schema,
    sweep_of,
    without_config_dir,
)
from xaiprune.config.tasks import ReportConfig, TrainConfig, opens_network
from xaiprune.errors import XaipruneError
from xaiprune.files import require_writable


def run_task(task: str, arguments: Sequence[str]) -> None:
    """Check the overrides, then run Hydra (``--help``, ``--cfg job``, ``--multirun``, ...).

    Args:
        task: A task with a module ``xaiprune.cli.<task>`` that has ``run(config)``.
        arguments: Overrides and Hydra's flags.

    Raises:
        XaipruneError: Anything the user can correct, before or during the task.
    """
    _log_to_stderr()
    register_schema(task)
    arguments = spelled_out(task, arguments)
    # Hydra would print a stripped traceback and exit; with this it raises exceptions, which `main` handles.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    if flags.help:
        from xaiprune.cli.common.help import help_of

        print(help_of(task))
        return
    if flags.cfg == "job" and TASKS[task].study and "study.name" in overridden_keys(flags.overrides):
        from xaiprune.cli.common.study_config import config_of_study

        print(config_of_study(task, flags.overrides, flags.config_dir), end="")
        return
    rewritten = list(flags.overrides)
    job, sweep = _Job(task), None
    if not (flags.hydra_help or flags.shell_completion or flags.info):
        if flags.multirun:
            sweep = sweep_of(task, flags.overrides, config_dir=flags.config_dir)
            rewritten = [*sweep.overrides, _sweep_folder(sweep)]
            notes = sweep.folder / f".notes-{uuid.uuid4().hex[:8]}"
            job = _Job(task, sweep.swept, notes, _at_once(sweep))
        else:
            rewritten = prepare(task, flags.overrides, config_dir=flags.config_dir)
    # Overrides first: Hydra cannot read them on both sides of a flag.
    rewritten += [a for a in without_config_dir(arguments) if a not in flags.overrides]

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=task)
    def application(composed: DictConfig) -> None:
        job.run(composed)

    def launch() -> None:
        typed = sys.argv
        sys.argv = [f"xaiprune {task}", *rewritten]
        try:
            application()
        finally:
            sys.argv = typed
            HydraConfig.instance().cfg = None  # what follows in this process was not typed

    if sweep is not None and sweep.has_workers:
        from xaiprune.cli.common import workers

        prepare_process(sweep.runs[0])
        typed = CommandLine(task, tuple(flags.overrides), flags.config_dir)
        runs = tuple(of_study(run, task, typed) for run in sweep.runs)
        workers.lead(replace(sweep, runs=runs), launch, notes)
    else:
        try:
            launch()
        except BrokenProcessPool as error:
            raise XaipruneError("a run of the sweep was killed; is there enough memory for all?") from error
    if job.unread:
        raise BrokenPipeError
    failures = job.failures()
    if job.notes is not None:
        for line in sweep_table(job.notes):
            print(line)
        shutil.rmtree(job.notes, ignore_errors=True)
    for failure in failures[1:]:
        print(f"xaiprune: {failure}", file=sys.stderr)
    if failures:
        raise failures[0]


@dataclass
class _Job:
    """The runs of one command: in this process, or in those of a launcher, to which this is sent.

    Attributes:
        task: Of the command line.
        swept: Keys that have other values in other runs.
        notes: Folder of the files by which the runs of a sweep and their leader communicate; None: one run.
        at_once: Runs that share this machine's processor.
        folder: In which the command was typed, and its relative paths count; a launcher may have kept
            processes from an earlier command in another one.
        unread: The program that read the output (head, less) has ended.
    """

    task: str
    swept: Sequence[str] = ()
    notes: Path | None = None
    at_once: int = 1
    folder: Path = field(default_factory=Path.cwd)
    unread: bool = False
    _failed: list[XaipruneError] = field(default_factory=list)

    def run(self, composed: DictConfig) -> None:
        """Run the task; errors for the user are kept for the end, so that a sweep's other runs continue."""
        register_schema(self.task)  # a launcher's worker is another process
        os.chdir(self.folder)
        try:
            label = label_of(HydraConfig.get().overrides.task, self.swept)
            config = finish(composed, self.task, label)
            _require_writable(self.task, config)
            config = of_study(config, self.task, current_command_line())
            if opens_network(self.task, config):
                prepare_process(config, self.at_once)
            if self.notes is not None and config.worker is not None:
                from xaiprune.cli.common import workers

                workers.work(config, self.notes)
            else:
                self._note(module_of(self.task).run(config))
        except XaipruneError as error:
            # Hydra would add a line of its own, and raise only the first one.
            self._keep(error, composed)
        except BrokenPipeError:
            if self.notes is not None:  # in another process, perhaps
                raise
            self.unread = True

    def failures(self) -> list[XaipruneError]:
        """Errors of the runs that have ended."""
        if self.notes is None:
            return self._failed
        files = sorted((self.notes / "failed").glob("*.txt"), key=lambda file: file.stat().st_mtime_ns)
        return [XaipruneError(text) for text in dict.fromkeys(file.read_text() for file in files)]

    def _note(self, figures: Mapping[str, str] | None) -> None:
        """Keep what a run of a sweep has found, for the table at its end."""
        if self.notes is None or not figures:
            return
        number = int(HydraConfig.get().job.num)
        named = dict(part.split("=", 1) for part in named_of(HydraConfig.get().overrides.task, self.swept))
        file = self.notes / FIGURES / f"{number:06d}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**named, **figures}), encoding="utf-8")

    def _keep(self, error: XaipruneError, composed: DictConfig) -> None:
        if self.notes is None:
            self._failed.append(error)
            return
        worker = composed.get("worker")
        message = str(error) if worker is None else f"worker {worker}: {error}"
        file = self.notes / "failed" / f"{uuid.uuid4().hex}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(message)


def module_of(task: str) -> ModuleType:
    """The module that runs a task."""
    return importlib.import_module(f"xaiprune.cli.{task}")


def prepare_process(config: Config, at_once: int = 1) -> None:
    """Set up messages to stderr, threads and seeds, before the first tensor is made.

    Args:
        config: Of the run.
        at_once: Runs that share the processor: each takes its share, unless ``threads`` is set.
    """
    import torch

    keep_freed_memory()
    _log_to_stderr()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif at_once > 1:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), _processors() // at_once)))
    torch.manual_seed(config.seed)


def _log_to_stderr() -> None:
    """Log messages as ``xaiprune: ...``; a launcher's worker has to set it up, too."""
    # That torch finds CUDA's tools and no GPU is nothing that anybody can do something about.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    log = logging.getLogger("xaiprune")
    if not log.handlers:
        handler = _ToStderr()
        handler.setFormatter(logging.Formatter("xaiprune: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


class _ToStderr(logging.StreamHandler[TextIO]):
    """To what is stderr when a message comes: notebooks and tests replace it, and close the old one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Where messages go."""
        return sys.stderr


def of_study(config: Config, task: str, typed: CommandLine | None) -> Config:
    """The configuration with what the task has from the study that was named.

    Raises:
        XaipruneError: As `settled`, or the task knows no studies.
    """
    keys = [] if typed is None else overridden_keys(typed.overrides)
    kind = TASKS[task].study
    if not kind and "study.name" in keys:
        raise XaipruneError(f"{task} takes a network, not a study: leave out study.name")
    if typed is None or (kind != "reads" and "study.name" not in keys):
        return config  # Optuna need not be imported
    from xaiprune.cli.common.study_setup import settled

    return settled(config, task, typed)


def _require_writable(task: str, config: Config) -> None:
    """Refuse what cannot be written to before the work, not after it."""
    given = is_file_name(config.recipe) or config.composite.file is not None
    if isinstance(config, TrainConfig) and config.train.output is not None:
        require_writable(Path(config.train.output).expanduser().parent, "train.output")
    elif isinstance(config, ReportConfig) and config.report.output is not None:
        require_writable(Path(config.report.output).expanduser().parent, "report.output")
    elif task in ("search", "report", "dashboard", *FIXED_FILES) or (task == "export" and not given):
        require_writable(Path(str(config.output_dir)).expanduser(), "output_dir")
    if task in ("search", "dashboard"):
        # Optuna and SQLAlchemy, which --help need not wait for.
        from xaiprune.storage import may_write, shown, storage_file

        if (file := storage_file(str(config.study.storage))) is not None:
            require_writable(file.parent, "study.storage")
            if file.is_file() and not may_write(file):
                where = {"study.name": config.study.name, "study.storage": shown(str(config.study.storage))}
                copy = {"studies.action": "copy", **where, "studies.to_storage": "sqlite:///copy.db"}
                raise XaipruneError(
                    f"study.storage: {file} may not be written to; allow it, or use a copy of the study: "
                    f"{command('studies', copy)}"
                )


def _sweep_folder(sweep: Sweep) -> str:
    quoted = str(sweep.folder).replace("\\", "\\\\").replace("'", "\\'")
    return f"hydra.sweep.dir='{quoted}'"


def _at_once(sweep: Sweep) -> int:
    return sweep.jobs or min(len(sweep.runs), _processors())


def _processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
