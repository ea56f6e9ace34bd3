"""Sweeps: combinations keep apart from each other, and from other sweeps."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from xaiprune.config import compose, sweep_of
from xaiprune.errors import XaipruneError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(*typed):
    return [run.study.name for run in sweep_of("search", typed).runs]


def test_each_combination_has_a_study_named_by_it():
    found = names("model=digits_resnet,digits_vit", "prune.rate=0.3,0.5")
    assert found == [
        f"{model}-digits-auto-{r}" for model in ("digits_resnet", "digits_vit") for r in (0.3, 0.5)
    ]
    assert names("seed=0,1") == [
        "digits_resnet-digits-auto-0.5-seed_0",
        "digits_resnet-digits-auto-0.5-seed_1",
    ]
    assert names("space=pxp,depth_groups", "prune.rate=0.5")[0].endswith("-0.5-space_pxp")
    assert len(set(names("model.kwargs={layers: [1, 1, 1, 1]},{layers: [2, 1, 1, 1]}"))) == 2


def test_folders_and_files_follow_the_name():
    for run in sweep_of("search", ["seed=0,1"]).runs:
        assert run.output_dir == f"studies/{run.study.name}"
        assert run.study.storage == f"sqlite:///studies/{run.study.name}.db"


def test_a_very_long_name_stays_a_file_name():
    (one, other) = names("units.include=['*.layer1.*'],['" + "x" * 300 + "']")
    assert one != other
    assert max(map(len, (one, other))) <= 120
    assert Path(f"{other}.db").touch() is None


def test_workers_share_a_study_whose_name_says_nothing_of_them():
    typed = ["worker=range(3)", "hydra/launcher=joblib", "seed=0,1"]
    sweep = sweep_of("search", typed)
    assert sweep.has_workers
    assert [len(runs) for runs in sweep.studies().values()] == [3, 3]
    assert sorted({run.worker for run in sweep.runs}) == [0, 1, 2]
    assert (
        sweep_of("search", ["worker=0,1", "hydra/launcher=joblib"]).runs[0].study == compose("search").study
    )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["seed=0,1", "study.name=mine"],
            r"would share study 'mine' .*\(seed=0; seed=1\).*leave out study\.name",
        ),
        (["seed=0,1", "output_dir=out"], r"output_dir=out is the same for studies"),
        (["worker=0,1"], "need a launcher that runs them at once"),
        (["worker=0,0", "hydra/launcher=joblib"], "would share study"),
        (["worker=0,null", "hydra/launcher=joblib"], "would share study"),
    ],
)
def test_runs_that_would_mix_are_refused(typed, message):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install 'xaiprune[launchers]'")
    with pytest.raises(XaipruneError, match=message) as caught:
        sweep_of("search", typed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "typed"),
    [
        ("prune", ["composite.preset=epsilon,zplus"]),
        ("prune", ["prune.rate=0.3,0.5"]),
        ("attribute", ["attribution.aggregate=signed,sum_of_abs"]),
        ("compare", ["compare.seeds=1,2", "study.name=mine"]),
        ("train", ["seed=0,1"]),
        ("train", ["train.learning_rate=1e-3,2e-3"]),
    ],
)
def test_each_run_of_a_task_that_writes_has_a_folder(task, typed):
    folders = {run.output_dir for run in sweep_of(task, typed).runs}
    assert len(folders) == 2
    assert all(re.fullmatch(r"[\w./+-]+", folder) for folder in folders)


def test_networks_that_are_trained_have_files_of_their_own():
    assert {run.output_dir for run in sweep_of("train", ["model=digits_resnet,digits_vit"]).runs} == {
        "outputs"
    }


@pytest.mark.parametrize(
    ("task", "typed", "message"),
    [
        (
            "prune",
            ["composite.preset=epsilon,zplus", "output_dir=out"],
            r"^output_dir=\S*/out is the same for two runs of the sweep \(composite.preset=epsilon; "
            r"composite.preset=zplus\), and prune would overwrite the first; leave output_dir out",
        ),
        ("prune", ["prune.rate=0.3,0.5", "study.name=mine"], r"^output_dir=\S*studies/mine is the same"),
        ("train", ["seed=0,1", "train.output=mine.pt"], r"^train\.output=mine\.pt is the same"),
        ("train", ["seed=0,1", "output_dir=out"], r"^output_dir=\S*/out is the same"),
    ],
)
def test_runs_that_would_overwrite_each_other_are_refused(task, typed, message):
    with pytest.raises(XaipruneError, match=message):
        sweep_of(task, typed)


def test_a_difference_of_ones_own_keeps_runs_apart():
    assert names("seed=0,1", "study.name='mine-${seed}'") == ["mine-0", "mine-1"]
    runs = sweep_of("search", ["seed=0,1", "output_dir='out/${seed}'"]).runs
    assert [run.output_dir for run in runs] == ["out/0", "out/1"]


def test_two_sweeps_never_share_a_folder(monkeypatch):
    one = sweep_of("search", ["seed=0,1"]).folder
    for _ in range(3):
        one.mkdir(parents=True, exist_ok=True)
        other = sweep_of("search", ["seed=0,1"]).folder
        assert not other.exists()
        one = other
    assert sweep_of("search", ["seed=0,1", "hydra.sweep.dir=mine"]).folder == Path("mine").absolute()


def test_other_tasks_read_the_study_that_a_search_has_made():
    assert [run.study.name for run in sweep_of("export", ["export.trial=0,1"]).runs] == [
        "digits_resnet-digits-auto-0.5"
    ] * 2


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_ray_launcher") is not None, reason="it is installed")
def test_a_launcher_that_is_not_installed_names_its_extra():
    with pytest.raises(
        XaipruneError, match=r"hydra/launcher=ray is not installed; pip install 'xaiprune\[ray\]'"
    ):
        sweep_of("search", ["worker=0,1", "hydra/launcher=ray"])
