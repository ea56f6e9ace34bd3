"""Notes, composites and pictures beside a study, by optuna-dashboard's own reading of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tests.cli.conftest import empty_storage as empty_storage
from tests.cli.conftest import make_study as make_study
from xaiprune.attribution import load_composite
from xaiprune.recipe import PRESETS
from xaiprune.report.dashboard import Publisher

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
from optuna_dashboard import get_note, save_note
from optuna_dashboard.artifact._backend import list_study_artifacts, list_trial_artifacts


@pytest.fixture
def study(make_study: Callable[..., optuna.Study]) -> optuna.Study:
    """Three finished trials, a failed one and one that lost its race."""
    made = make_study(
        "one", ("taylor", 0.8, "a"), ("epsilon", 0.9, "b"), ("zplus", 0.1, "c"), "out of memory"
    )
    raced = {
        "proposal": PRESETS["epsilon_cp"].to_dict(),
        "scores": [{"rate": 0.5, "plan": "d", "correct": 10, "images": 50, "low": 0.1, "high": 0.3}],
        "images": 360,
    }
    made.add_trial(create_trial(state=TrialState.PRUNED, user_attrs=raced))
    return made


def attrs_of(study: optuna.Study) -> dict[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def note_of(study: optuna.Study, number: int) -> str:
    from optuna_dashboard._note import get_note_from_system_attrs

    return get_note_from_system_attrs(attrs_of(study), study.trials[number]._trial_id)["body"]


def artifacts_of(study: optuna.Study, number: int) -> dict[str, str]:
    """File name -> identifier, as the dashboard lists them."""
    found = list_trial_artifacts(attrs_of(study), {}, study.trials[number])
    return {entry["filename"]: entry["artifact_id"] for entry in found}


def test_every_ended_trial_tells_its_story(study: optuna.Study, tmp_path: Path) -> None:
    before = [(trial.user_attrs, trial.system_attrs, trial.values) for trial in study.trials]
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "curves.png").write_bytes(b"a picture")
    assert list(Publisher(study, folder).publish()) == [1, 4, 3, 2, 0]
    note = note_of(study, 1)
    assert note.startswith("## Trial 1: preset epsilon\n\n**90.0 %** on the validation images\n")
    assert "| 0.5 | 90.0 % | 86.0 to 94.0 | 50 |" in note
    assert "rule: epsilon" in note
    assert "xaiprune export study.name=one export.trial=1" in note
    found = artifacts_of(study, 1)
    assert set(found) == {"trial-1.yaml", "trial-1.png"}
    files = folder / "artifacts"
    assert (files / found["trial-1.png"]).read_bytes().startswith(b"\x89PNG")
    assert load_composite(files / found["trial-1.yaml"]) == PRESETS["epsilon"].composite
    assert f"/artifacts/1/{study.trials[1]._trial_id}/{found['trial-1.png']})" in note
    assert "Failed: out of memory" in note_of(study, 3)
    assert "Stopped in a race after 50 of 360 image evaluations" in note_of(study, 4)
    assert artifacts_of(study, 3) == artifacts_of(study, 4) == {}
    about = get_note(study)
    assert "| best | trial 1, 90.0 %; " in about
    assert "| network | digits_resnet, weights 5da3355f8eb97cc6 |\n| units | 744 filters |" in about
    assert [entry["filename"] for entry in list_study_artifacts(attrs_of(study))] == ["curves.png"]
    assert study.metric_names == ["top1_at_rate (rate 0.5)"]
    # What has ended stays as it was.
    assert [(trial.user_attrs, trial.system_attrs, trial.values) for trial in study.trials] == before


def test_nothing_is_written_twice_and_new_trials_follow(study: optuna.Study, tmp_path: Path) -> None:
    publisher = Publisher(study, tmp_path)
    list(publisher.publish())
    first = attrs_of(study)
    assert list(publisher.publish()) == []
    assert len(list(Publisher(study, tmp_path).publish())) == 5  # a later start looks at all of them
    assert attrs_of(study) == first
    study.add_trial(create_trial(value=0.95, user_attrs=study.trials[1].user_attrs))
    assert list(publisher.publish()) == [5]
    assert "trial-5.png" in artifacts_of(study, 5)
    assert "| best | trial 5, 95.0 %; " in get_note(study)


def test_what_people_write_stays(study: optuna.Study, tmp_path: Path) -> None:
    list(Publisher(study, tmp_path).publish())
    save_note(study, get_note(study) + "\nLook at trial 2.")
    study.add_trial(create_trial(value=0.95, user_attrs=study.trials[1].user_attrs))
    list(Publisher(study, tmp_path).publish())
    assert get_note(study).endswith("\nLook at trial 2.")
    assert "trial 5" not in get_note(study)


def test_files_that_are_not_on_this_machine_are_made_again(study: optuna.Study, tmp_path: Path) -> None:
    list(Publisher(study, tmp_path / "there").publish())
    list(Publisher(study, tmp_path / "here").publish())
    found = artifacts_of(study, 0)
    assert len(found) == 2
    for identifier in found.values():
        there, here = (tmp_path / place / "artifacts" / identifier for place in ("there", "here"))
        assert there.read_bytes() == here.read_bytes()


def test_a_file_that_was_deleted_in_the_dashboard(study: optuna.Study, tmp_path: Path) -> None:
    """It writes null in the place of a file's entry."""
    list(Publisher(study, tmp_path).publish())
    key = next(key for key in attrs_of(study) if "dashboard:artifacts:" in key)
    study._storage.set_study_system_attr(study._study_id, key, json.dumps(None))
    list(Publisher(study, tmp_path).publish())
    assert all(len(artifacts_of(study, number)) == 2 for number in range(3))
