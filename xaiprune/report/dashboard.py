"""What optuna-dashboard shows of a study beside its numbers: notes, composites and pictures of trials.

Everything is derived from what the study holds, so it is made when somebody looks, not in the search: a study
needs no dashboard, and one that was made without gets its notes later. Notes and files of trials are kept in
the study's system attributes, in the form that the dashboard itself writes: Optuna lets nobody change a trial
that has ended.
"""

from __future__ import annotations

import io
import json
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from xaiprune.attribution.lrp.composite_io import save_composite
from xaiprune.errors import XaipruneError
from xaiprune.report.notes import study_note, trial_note
from xaiprune.report.trial_picture import draw_trial
from xaiprune.study import best_trial, recipe_of
from xaiprune.study.best import provenance
from xaiprune.study.notes import network_of

_PREFIX, _NOTED = "artifacts:", "xaiprune:note:"
_TYPES = {".png": "image/png", ".yaml": "text/plain"}  # a browser shows plain text, and saves YAML
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass
class Publisher:
    """Writes what is missing, trial by trial.

    Args:
        study: One of ours.
        folder: Of the study's results (``studies/<name>``): its pictures are shown, too, and artifacts go
            into ``artifacts`` below it.
    """

    study: optuna.Study
    folder: Path
    _published: set[int] = field(default_factory=set, init=False)
    _attrs: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.artifacts = self.folder / "artifacts"
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.store = FileSystemArtifactStore(str(self.artifacts))

    def publish(self) -> Iterator[int]:
        """Publish the study itself and every ended trial that has not been: the best, then the newest.

        Yields:
            The number of each trial, when it is done.
        """
        trials = self.study.get_trials(deepcopy=False)
        # Read once: of a thousand trials they are many. What others write meanwhile is not ours.
        self._attrs = dict(self.study._storage.get_study_system_attrs(self.study._study_id))
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
        self._note(None, study_note(self.study, trials))
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
        self._note(trial, trial_note(self.study, trial, picture))

    def _attach_composite(self, trial: FrozenTrial, temporary: Path) -> None:
        path = temporary / f"trial-{trial.number}.yaml"
        if not self._is_there(trial, path.name):
            recipe = recipe_of(trial)
            save_composite(path, recipe.composite, provenance(self.study, trial, recipe))
            self._attach(trial, path.name, path.read_bytes())

    def _attach_picture(self, trial: FrozenTrial, trials: list[FrozenTrial], temporary: Path) -> str | None:
        """Draw the trial where that has not been done; the picture's address in the dashboard."""
        if not trial.user_attrs["scores"]:  # nothing was pruned
            return None
        path = temporary / f"trial-{trial.number}.png"
        if not self._is_there(trial, path.name):
            network = network_of(self.study)
            draw_trial(
                trial,
                path,
                others=[other for other in trials if other.number != trial.number],
                dense=self.study.user_attrs.get("dense", {}).get("top1"),
                units=None if network is None else network.units,
            )
            self._attach(trial, path.name, path.read_bytes())
        identifier = self._attached(trial)[path.name]
        return f"/artifacts/{self.study._study_id}/{trial._trial_id}/{identifier}"

    def _note(self, trial: FrozenTrial | None, text: str) -> None:
        """Write a note, unless it is there already, or people have changed it."""
        from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version

        trial_id = None if trial is None else trial._trial_id
        now = get_note_from_system_attrs(self._attrs, trial_id)
        version, key = int(now["version"]), f"{_NOTED}{trial_id}"
        if now["body"] == text or version != self._attrs.get(key, 0):
            return
        # Ours is the version that is noted here; whoever edits a note raises it.
        self._set(key, version + 1)
        save_note_with_version(self.study._storage, self.study._study_id, trial_id, version + 1, text)

    def _attach(self, trial: FrozenTrial | None, name: str, content: bytes) -> None:
        """Attach a file to a trial or the study; one of that name is replaced."""
        known = self._attached(trial)
        identifier = known.get(name) or str(uuid.uuid4())
        # The file first: the dashboard must not show what is not there.
        self.store.write(identifier, io.BytesIO(content))
        if name in known:
            return
        about = {
            "artifact_id": identifier,
            "filename": name,
            "mimetype": _TYPES[Path(name).suffix],
            "encoding": None,
        }
        key = f"{_PREFIX if trial is None else _trial_prefix(trial)}{identifier}"
        self._set(key, json.dumps(about))

    def _attached(self, trial: FrozenTrial | None) -> dict[str, str]:
        """Name -> identifier of the files that a trial or the study has."""
        prefix = _PREFIX if trial is None else _trial_prefix(trial)
        entries = [json.loads(value) for key, value in self._attrs.items() if key.startswith(prefix)]
        return {entry["filename"]: entry["artifact_id"] for entry in entries if entry is not None}

    def _set(self, key: str, value: Any) -> None:
        self.study._storage.set_study_system_attr(self.study._study_id, key, value)
        self._attrs[key] = value

    def _is_there(self, trial: FrozenTrial, name: str) -> bool:
        """Whether a file is attached, and also on this machine."""
        identifier = self._attached(trial).get(name)
        return identifier is not None and (self.artifacts / identifier).is_file()


def _trial_prefix(trial: FrozenTrial) -> str:
    return f"dashboard:{_PREFIX}{trial._trial_id}:"
