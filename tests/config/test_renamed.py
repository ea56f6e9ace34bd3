"""Former names of keys: typed, in dictionaries, sweeps and YAML files, and in what older versions stored."""

from pathlib import Path

import pytest

from xaiprune.config import (
    RENAMED,
    TASKS,
    compose,
    current_names,
    former_names,
    overridden_keys,
    prepare,
    provenance_of,
    renamed,
    stored_recipe,
    sweep_of,
)
from xaiprune.config.keys import valid_keys
from xaiprune.errors import XaipruneError
from xaiprune.recipe import load_recipe


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "_told", set())


def test_every_name_is_a_key_and_no_former_one_is() -> None:
    keys = {key for task in TASKS for key in valid_keys(task)}
    assert set(RENAMED.values()) <= keys
    assert not set(RENAMED) & keys
    assert all(old.split(".")[0] == new.split(".")[0] for old, new in RENAMED.items())


@pytest.mark.parametrize(
    "typed", ["prune.floor=3", "++prune.floor=3", "prune={floor: 3}", "prune={rate: 0.2, floor : 3}"]
)
def test_typed(typed: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert compose("search", [typed]).prune.min_units == 3
    assert [record.getMessage() for record in caplog.records] == ["prune.floor is now called prune.min_units"]


def test_what_hydra_gets_has_the_names_of_now() -> None:
    assert prepare("search", ["prune.steps=2"]) == ["prune.rounds=2"]
    assert prepare("search", ["+prune={steps: 2}"]) == ["+prune={rounds: 2}"]
    assert overridden_keys(["prune={floor: 2, rate: 0.5}"]) == ["prune.min_units", "prune.rate"]


def test_the_last_one_typed_counts() -> None:
    assert compose("search", ["prune.floor=3", "prune.min_units=4"]).prune.min_units == 4
    assert compose("search", ["prune.min_units=4", "prune.floor=3"]).prune.min_units == 3


@pytest.mark.parametrize("typed", ["prune.steps=1,2", "prune={steps: 1},{steps: 2}"])
def test_in_a_sweep(typed: str) -> None:
    sweep = sweep_of("search", [typed])
    assert [run.prune.rounds for run in sweep.runs] == [1, 2]
    assert "steps" not in sweep.overrides[0]
    assert len({run.study.name for run in sweep.runs}) == 2


def test_in_interpolations() -> None:
    assert compose("search", ["study.name='mine-${prune.floor}'"]).study.name == "mine-1"


@pytest.mark.parametrize(
    ("task", "typed", "section", "key", "value"),
    [
        ("search", "objective.keep=0.9", "objective", "keep_top1", 0.9),
        ("studies", "studies.unseen=true", "studies", "assume_dead", True),
        ("evaluate", "evaluate.images=7", "evaluate", "faithfulness_images", 7),
        ("evaluate", "evaluate={steps: 3, patch: 2}", "evaluate", "faithfulness_patch", 2),
    ],
)
def test_other_keys(task: str, typed: str, section: str, key: str, value: object) -> None:
    assert getattr(getattr(compose(task, [typed]), section), key) == value


def test_a_former_name_of_another_task_is_unknown() -> None:
    with pytest.raises(XaipruneError, match=r"unknown key 'studies\.assume_dead'"):
        compose("search", ["studies.unseen=true"])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of YAML files as people have them."""
    files = {
        "experiment/mine.yaml": "# @package _global_\n"
        "defaults:\n  - override /prune: careful\n"
        "prune:\n  steps: 3\n"
        "study:\n  name: mine-${prune.floor}-${prune.steps}\n",
        "prune/careful.yaml": "rate: 0.25\nfloor: 2\n",
        "objective/most.yaml": "# @package objective\nname: max_rate_at_drop\nkeep: 0.8\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_in_yaml_files(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = compose("search", ["experiment=mine", "objective=most"], config_dir=str(own))
    assert (config.prune.rate, config.prune.min_units, config.prune.rounds) == (0.25, 2, 3)
    assert config.objective.keep_top1 == 0.8
    assert config.study.name == "mine-2-3"
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == sorted(
        f"{old} is now called {RENAMED[old]}" for old in ("prune.floor", "prune.steps", "objective.keep")
    )


def test_typed_keys_win_over_yaml_files(own: Path) -> None:
    typed = ["experiment=mine", "prune.min_units=5", "prune.steps=4"]
    config = compose("search", typed, config_dir=str(own))
    assert (config.prune.min_units, config.prune.rounds) == (5, 4)


def test_a_folder_on_hydras_own_search_path_stays_there(
    own: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "prune").mkdir()
    (other / "prune" / "half.yaml").write_text("rate: 0.5\nmin_units: 7\n")
    typed = [f"hydra.searchpath=['file://{other}']", "prune=half"]
    assert compose("search", typed, config_dir=str(own)).prune.min_units == 7


def test_yaml_that_cannot_be_read_is_one_line(own: Path) -> None:
    (own / "experiment" / "mine.yaml").write_text("# @package _global_\nprune: [\n")
    with pytest.raises(XaipruneError, match=r"/experiment/mine\.yaml cannot be read: ") as error:
        compose("search", ["experiment=mine"], config_dir=str(own))
    assert "\n" not in str(error.value)


def test_stored_settings() -> None:
    stored = {"rate": 0.5, "floor": 1, "steps": 2}
    current = current_names("prune", stored)
    assert list(current.items()) == [("rate", 0.5), ("min_units", 1), ("rounds", 2)]
    assert list(former_names("prune", current).items()) == list(stored.items())
    assert current_names("data", stored) == stored
    assert current_names("prune", {"layer.floor": 1, 3: 2}) == {"layer.floor": 1, 3: 2}  # type: ignore[dict-item]


def test_stored_settings_are_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("schema: xaiprune/composite/1\nprovenance:\n  prune: {rate: 0.4, floor: 1, steps: 3}\n")
    assert provenance_of(file)["prune"] == {"rate": 0.4, "min_units": 1, "rounds": 3}
    assert stored_recipe(file) is None  # it does not say how it ranks
    file.write_text(f"{file.read_text()}  attribution: {{start: logit}}\n")
    found = stored_recipe(file)
    assert found is not None
    assert (found["order"], found["compensate"], found["rounds"]) == ("score", "none", 3)
    assert not caplog.records


def test_recipes_carry_rounds(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("schema: xaiprune/composite/1\nprovenance: {recipe: {rounds: 4}}\n")
    assert load_recipe(file).rounds == 4
    assert compose("prune", [f"composite={file}", "prune.steps=2"]).prune.rounds == 2
