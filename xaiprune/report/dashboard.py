"""Publishes to optuna-dashboard what it shows beside numbers: notes, composites and pictures of trials.

All of it follows from what the study holds, so it is made when somebody looks and not in the search: a study
needs no dashboard, and one that was made without gets its notes later. Trials that have ended stay as they
are.
"""

from __future__ import annotations

import io
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from xaiprune.errors import XaipruneError
from xaiprune.report.dashboard_attributes import DashboardAttributes
from xaiprune.report.notes import measure_of, study_note, trial_note
from xaiprune.report.trial_picture import draw_trial
from xaiprune.study import best_trial, network_of, save_trial

_TYPES = {".png": "image/png", ".yaml": "text/plain"}  # a browser shows plain text, but downloads YAML
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass
class Publisher:
    """Writes what is missing, trial by trial.

    Args:
        study: Made by a search.
        folder: Of the study's results (``studies/<name>``): its pictures are shown, too, and artifacts are
            written into ``artifacts`` below it.
    """

    study: optuna.Study
    folder: Path
    _published: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.artifacts = self.folder / "artifacts"
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.store = FileSystemArtifactStore(str(self.artifacts))
        self._attributes = DashboardAttributes(self.study)

    def publish(self) -> Iterator[int]:
        """Publish the study and each ended trial that has not been published: the best, then the newest.

        Yields:
            The number of each trial, when it is done.
        """
        trials = self.study.get_trials(deepcopy=False)
        self._attributes.reload()
        best = -1
        missing = [t for t in trials if t.state in _ENDED and t.number not in self._published]
        if missing or not self._published:
            self._publish_study(trials)
        with suppress(XaipruneError):  # none has finished, or none keeps the constraints
            best = best_trial(self.study).number
        for trial in sorted(missing, key=lambda trial: (trial.number != best, -trial.number)):
            self._publish_trial(trial, trials)
            self._published.add(trial.number)
            yield trial.number

    def _publish_study(self, trials: list[FrozenTrial]) -> None:
        objective = self.study.user_attrs["fingerprint"]["objective"]
        rates = ", ".join(f"{rate:g}" for rate in objective.get("rates", ()))
        first = objective["name"] + (f" (rate {rates})" if rates else "")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.set_metric_names([first, *([objective["cost"]] if objective.get("cost") else [])])
        self._attributes.write_note(None, study_note(self.study, trials))
        for name in ("curves.png", "compare/curves.png", "best.yaml"):
            path = self.folder / name
            if path.is_file():
                self._attach(None, name.replace("/", "-"), path.read_bytes())

    def _publish_trial(self, trial: FrozenTrial, trials: list[FrozenTrial]) -> None:
        picture = None
        if trial.state is TrialState.COMPLETE:
            with TemporaryDirectory() as temporary:
                self._attach_composite(trial, Path(temporary))
                picture = self._attach_picture(trial, trials, Path(temporary))
        self._attributes.write_note(trial, trial_note(self.study, trial, picture))

    def _attach_composite(self, trial: FrozenTrial, temporary: Path) -> None:
        path = temporary / f"trial-{trial.number}.yaml"
        if not self._is_here(trial, path.name):
            save_trial(self.study, trial, path)
            self._attach(trial, path.name, path.read_bytes())

    def _attach_picture(self, trial: FrozenTrial, trials: list[FrozenTrial], temporary: Path) -> str | None:
        """Draw the trial where that has not been done; the picture's address in the dashboard."""
        if not trial.user_attrs["scores"]:  # nothing was pruned
            return None
        path = temporary / f"trial-{trial.number}.png"
        if not self._is_here(trial, path.name):
            network = network_of(self.study)
            draw_trial(
                trial,
                path,
                others=[other for other in trials if other.number != trial.number],
                dense=self.study.user_attrs.get("dense", {}).get("top1"),
                units=None if network is None else network.units,
                measure=measure_of(self.study),
            )
            self._attach(trial, path.name, path.read_bytes())
        return self._attributes.address(trial, path.name)

    def _attach(self, trial: FrozenTrial | None, name: str, content: bytes) -> None:
        """Attach a file to a trial or the study; one of that name is replaced."""
        known = self._attributes.files(trial)
        identifier = known.get(name) or str(uuid.uuid4())
        # The file first: the dashboard must not list what does not exist.
        self.store.write(identifier, io.BytesIO(content))
        if name not in known:
            self._attributes.add_file(trial, name, identifier, _TYPES[Path(name).suffix])

    def _is_here(self, trial: FrozenTrial, name: str) -> bool:
        """Whether a file is attached and lies on this machine."""
        identifier = self._attributes.files(trial).get(name)
        return identifier is not None and (self.artifacts / identifier).is_file()
