"""Notes and files as optuna-dashboard keeps them: in system attributes of the study.

Optuna has no public function that notes anything with a trial that has ended; the dashboard does so in the
study's system attributes. A private part of optuna-dashboard, `optuna_dashboard._note`, is used in this file
only: its public `save_note` and `get_note` take no ended trial and do not tell whether people have changed a
note. pyproject.toml bounds its version from above.
"""

from __future__ import annotations

import json
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from xaiprune.storage import storage_of, study_id, trial_id

_FILES, _NOTED = "artifacts:", "xaiprune:note:"


class DashboardAttributes:
    """What the dashboard shows of one study and its trials. A trial of None stands for the study itself.

    Args:
        study: Read by `reload`.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._storage, self._study_id = storage_of(study), study_id(study)
        self._values: dict[str, Any] = {}

    def reload(self) -> None:
        """Read all attributes, once for all trials: of a thousand trials they are many."""
        self._values = dict(self._storage.get_study_system_attrs(self._study_id))

    def write_note(self, trial: FrozenTrial | None, text: str) -> None:
        """Write a note, unless it is there already or people have changed it."""
        # Imported here: the dashboard is an extra, which report does without.
        from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version

        identifier = None if trial is None else trial_id(trial)
        now = get_note_from_system_attrs(self._values, identifier)
        version, key = int(now["version"]), f"{_NOTED}{identifier}"
        if now["body"] == text or version != self._values.get(key, 0):
            return
        # The version of our own note is stored here; the dashboard raises it when people edit the note.
        self._set(key, version + 1)
        save_note_with_version(self._storage, self._study_id, identifier, version + 1, text)

    def files(self, trial: FrozenTrial | None) -> dict[str, str]:
        """Name -> identifier of the files of a trial."""
        prefix = _prefix(trial)
        entries = [json.loads(value) for key, value in self._values.items() if key.startswith(prefix)]
        return {entry["filename"]: entry["artifact_id"] for entry in entries if entry is not None}

    def add_file(self, trial: FrozenTrial | None, name: str, identifier: str, mimetype: str) -> None:
        """List a file that lies in the artifact store under an identifier."""
        about = {"artifact_id": identifier, "filename": name, "mimetype": mimetype, "encoding": None}
        self._set(_prefix(trial) + identifier, json.dumps(about))

    def address(self, trial: FrozenTrial, name: str) -> str:
        """Where the dashboard serves a trial's file."""
        return f"/artifacts/{self._study_id}/{trial_id(trial)}/{self.files(trial)[name]}"

    def _set(self, key: str, value: Any) -> None:
        self._storage.set_study_system_attr(self._study_id, key, value)
        self._values[key] = value


def _prefix(trial: FrozenTrial | None) -> str:
    return _FILES if trial is None else f"dashboard:{_FILES}{trial_id(trial)}:"
