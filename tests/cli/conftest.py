"""A finished study without a search: what the tasks that read studies need, in milliseconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from tests.search.conftest import FEW_IMAGES, PLAIN, SHALLOW, few
from tests.search.conftest import config as config  # for the one test that searches
from tests.search.conftest import weights as weights
from xaiprune.cli.__main__ import main
from xaiprune.recipe import PRESETS
from xaiprune.storage import file_url, open_storage, quiet
from xaiprune.study import SCHEMA, versions

MakeStudy = Callable[..., optuna.Study]
FINGERPRINT = {
    "model": {"name": "digits_resnet", "weights": "5da3355f8eb97cc6"},
    "data": {
        "classes": [str(digit) for digit in range(10)],
        "logits": None,
        "reference": "20 images (75bf81e8b4d93ca0)",
    },
    "units": {"kind": "filters", "include": [], "exclude": [], "found": 744},
    "prune": {"rate": 0.5, "budget": "units", "scope": "global", "floor": 1},
    "objective": {"name": "top1_at_rate", "rates": [0.5]},
}


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A storage without studies: making its tables takes a second, copying it does not."""
    path = tmp_path_factory.mktemp("storage") / "empty.db"
    with quiet():
        storage = open_storage(f"sqlite:///{path}")
    assert isinstance(storage, RDBStorage)
    storage.engine.dispose()
    return path.read_bytes()


@pytest.fixture
def make_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_storage: bytes) -> MakeStudy:
    """``make_study("one", ("taylor", 0.9, "plan a"), ...)``: ``studies/one.db`` in the current folder.

    Each trial is (preset, value, hash of its plan), or the reason why it failed.
    """
    monkeypatch.chdir(tmp_path)

    def make(name: str, *trials: tuple[str, float, str] | str) -> optuna.Study:
        path = tmp_path / "studies" / f"{name}.db"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(empty_storage)
        with quiet():
            storage = open_storage(file_url(path))
            study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
            study.set_user_attr("schema", SCHEMA)
            study.set_user_attr("fingerprint", FINGERPRINT)
            study.set_user_attr("versions", [versions()])
            for trial in trials:
                if isinstance(trial, str):
                    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"reason": trial}))
                    continue
                tried, value, plan = trial
                stored = {
                    "preset": tried,
                    "proposal": PRESETS[tried].to_dict(),
                    "key": PRESETS[tried].key,
                    "scores": [
                        {
                            "rate": 0.5,
                            "plan": plan,
                            "correct": round(50 * value),
                            "images": 50,
                            "low": round(value - 0.04, 2),
                            "high": round(value + 0.04, 2),
                        }
                    ],
                }
                study.add_trial(create_trial(value=value, user_attrs=stored))
        return study

    return make


@pytest.fixture(scope="session")
def searched_once(
    tmp_path_factory: pytest.TempPathFactory, weights: dict[str, Path], session_cache: str
) -> tuple[Path, list[str]]:
    """A folder with a study that the command line made, and the words that said what it is of."""
    folder = tmp_path_factory.mktemp("searched")
    shutil.copy(weights["digits_resnet"], folder / "weights.safetensors")
    words = [
        *("model=digits_resnet", "model.checkpoint=weights.safetensors", "units=inner_filters"),
        "recipe=paper",
        *(f"model.kwargs.{key}={value}" for key, value in SHALLOW["digits_resnet"].items()),
        *(f"data.cache_dir={session_cache}", *FEW_IMAGES, *PLAIN, "prune.rate=0.4", "device=cpu"),
    ]
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        here.setattr("xaiprune.cli.search.finish", lambda *_: None)  # the comparison is not needed
        assert main(["search", *words, "study.name=one", *few(9)]) == 0
    return folder, words


@pytest.fixture
def searched(
    searched_once: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """That study in ``studies/one.db`` of the current folder; its words."""
    folder, words = searched_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return words
