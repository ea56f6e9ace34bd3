"""A sweep (``--multirun``): its runs, checked before the first one starts, each with a name of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from omegaconf import DictConfig

from xaiprune.config import overrides as typed
from xaiprune.config.compose import compose, compose_hydra
from xaiprune.config.naming import FIXED_FILES
from xaiprune.config.schema import Config
from xaiprune.config.tasks import TrainConfig
from xaiprune.errors import XaipruneError

# Keys that are left out of the label: a study's default name has them already, or runs share a study by them.
_NOT_LABELLED = (
    "worker",
    "model",
    "data",
    "units",
    "prune.rate",
    "study.name",
    "study.storage",
    "output_dir",
)
_PARALLEL_LAUNCHERS = "joblib (this machine), submitit_slurm (a cluster) or ray"


@dataclass(frozen=True)
class Sweep:
    """What ``xaiprune <task> --multirun ...`` will run.

    Attributes:
        runs: One checked configuration for each combination, in Hydra's order.
        overrides: What was typed, as Hydra wants it, with the folder of ``--config-dir``.
        swept: Keys with several values.
        folder: ``hydra.sweep.dir``, absolute; a new folder, unless it was typed.
        launcher: What follows ``hydra/launcher=``.
        jobs: How many runs the launcher starts at once on this machine (0: as many as there are processors).
    """

    runs: tuple[Config, ...]
    overrides: tuple[str, ...]
    swept: tuple[str, ...]
    folder: Path
    launcher: str
    jobs: int

    @property
    def has_workers(self) -> bool:
        """Whether its runs are workers that share studies."""
        return any(run.worker is not None for run in self.runs)

    def studies(self) -> dict[tuple[str, str], list[Config]]:
        """(storage, study name) -> the runs that work on it."""
        found: dict[tuple[str, str], list[Config]] = {}
        for run in self.runs:
            found.setdefault((str(run.study.storage), str(run.study.name)), []).append(run)
        return found


def sweep_of(task: str, overrides: Sequence[str], *, config_dir: str | None = None) -> Sweep:
    """Compose and check every combination before any runs, so that a mistake in the last shows at once.

    Args:
        task: A task of the command line.
        overrides: As typed; several values are separated by commas.
        config_dir: As for `compose`.

    Raises:
        XaipruneError: As `compose`; or two runs would write to one study or folder.
    """
    parsed = typed.parse(overrides)
    swept = tuple(str(o.key_or_group) for o in parsed if o.is_sweep_override())
    combinations = list(typed.expand_sweep(parsed))
    runs = tuple(
        compose(task, single, config_dir=config_dir, label=label_of(single, swept)) for single in combinations
    )
    hydra = compose_hydra(task, combinations[0], config_dir=config_dir)
    folder = Path(str(hydra.sweep.dir)).absolute()
    if not any(o.key_or_group == "hydra.sweep.dir" for o in parsed):
        folder = _free(folder)
    launcher = str(hydra.runtime.choices["hydra/launcher"])
    sweep = Sweep(
        runs=runs,
        overrides=tuple(typed.rewrite(typed.parse(overrides, config_dir))),
        swept=swept,
        folder=folder,
        launcher=launcher,
        jobs=_jobs(hydra, launcher, len(runs)),
    )
    names = [", ".join(named_of(single, swept)) for single in combinations]
    if task == "search":
        _check_distinct(sweep, names)
    elif task in FIXED_FILES:
        _check_outputs(task, runs, names)
    return sweep


def label_of(overrides: Iterable[str], swept: Sequence[str]) -> str:
    """What a run's default name must say beyond model, data, units and rate: ``seed=1-objective=curve_mean``.

    Args:
        overrides: Of this run, without sweeps.
        swept: Keys that have other values in other runs.
    """
    return "-".join(named_of(overrides, [key for key in swept if key not in _NOT_LABELLED]))


def named_of(overrides: Iterable[str], keys: Sequence[str]) -> list[str]:
    """``key=value`` of the swept keys in one run."""
    chosen = [o for o in typed.parse(list(overrides)) if o.key_or_group in keys]
    return [f"{o.key_or_group}={o.get_value_element_as_str()}" for o in chosen]


def _check_outputs(task: str, runs: Sequence[Config], names: Sequence[str]) -> None:
    """Refuse runs that would overwrite each other's files."""
    written: dict[tuple[str, ...], str] = {}
    for run, name in zip(runs, names, strict=True):
        key = "output_dir"
        place: tuple[str, ...] = (str(Path(str(run.output_dir)).absolute()),)
        if isinstance(run, TrainConfig):  # its files are named after network and data
            if run.train.output is not None:
                key, place = "train.output", (run.train.output,)
            else:
                place += (str(run.model.pruned or run.model.name), str(run.data.root or run.data.source))
        if (other := written.setdefault(place, name)) != name:
            raise XaipruneError(
                f"{key}={place[0]} is the same for two runs of the sweep ({other}; {name}), and {task} would "
                f"overwrite the first; leave {key} out, or put the difference into it: '{key}=out/${{seed}}'"
            )


def _check_distinct(sweep: Sweep, names: Sequence[str]) -> None:
    """Refuse runs that would share a study or overwrite each other's files, and workers that cannot work."""
    typed_in = {id(run): name for run, name in zip(sweep.runs, names, strict=True)}
    folders: dict[str, str] = {}
    numbers = {run.worker for run in sweep.runs}
    for (storage, study), runs in sweep.studies().items():
        workers = [run.worker for run in runs]
        twice = next((w for w in workers if workers.count(w) > 1), None) if len(runs) > 1 else None
        if (None in workers and len(runs) > 1) or twice is not None:
            same = [typed_in[id(run)] for run in runs if run.worker == twice]
            raise XaipruneError(
                f"{len(same)} runs of the sweep would share study '{study}' in {storage} "
                f"({'; '.join(same)}); leave out study.name, or put the difference into it: "
                "'study.name=mine-${seed}'"
            )
        if len(runs) < len(numbers):
            raise XaipruneError(
                f"study '{study}' in {storage} would have only {len(runs)} of the {len(numbers)} workers; "
                "study.name and study.storage must not depend on worker"
            )
        if len(runs) > 1 and sweep.launcher == "basic":
            raise XaipruneError(
                f"{len(runs)} workers need a launcher that runs them at once: "
                f"hydra/launcher={_PARALLEL_LAUNCHERS}"
            )
        folder = str(Path(str(runs[0].output_dir)).absolute())
        if (other := folders.setdefault(folder, study)) != study:
            raise XaipruneError(
                f"output_dir={runs[0].output_dir} is the same for studies '{other}' and '{study}'; leave it "
                "out, or put the difference into it: 'output_dir=out/${prune.rate}'"
            )


def _jobs(hydra: DictConfig, launcher: str, runs: int) -> int:
    if launcher == "joblib":
        return min(runs, n) if (n := int(hydra.launcher.n_jobs)) > 0 else 0
    return runs if launcher == "submitit_local" else 1


def _free(folder: Path) -> Path:
    """The folder, or one beside it: two sweeps can begin in the same second."""

    def candidates() -> Iterator[Path]:
        yield folder
        yield from (folder.with_name(f"{folder.name}-{number}") for number in count(2))

    return next(path for path in candidates() if not path.exists())
