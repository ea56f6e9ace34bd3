"""``xaiprune studies``: what it shows, mends and copies, and what it says of files that are no studies."""

import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.search.conftest import few
from xaiprune.attribution.lrp.composite_io import load_composite
from xaiprune.cli import export, studies
from xaiprune.cli.__main__ import main
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.storage import open_storage, quiet, stale
from xaiprune.study import best_trial, counts, load_study, recipe_of, search

# Asked for outside of Study.optimize, a trial has no heartbeat; that is the point.
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")
TRIALS = (("taylor", 0.9, "a"), "relevance of layer conv1 is not finite", ("epsilon", 0.94, "b"))


def run(*overrides: str) -> None:
    studies.run(compose("studies", overrides))


def load(name: str) -> optuna.Study:
    return load_study(compose("studies", [f"study.name={name}"]))


def add_running(study: optuna.Study, worker: dict | None) -> int:
    with quiet():
        trial = study.ask({"low.gamma": optuna.distributions.FloatDistribution(0, 1)})
    if worker is not None:
        trial.set_user_attr(stale.WORKER, worker)
    return trial.number


def dead_worker() -> dict:
    """As signed by a process of this machine that is gone: our number, born at another time."""
    return {"pid": os.getpid(), **stale._machine(), "born": "another boot 1"}


def test_list(make_study, capsys):
    make_study("one", *TRIALS)
    add_running(make_study("two"), None)
    run()
    heading, one, two = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "study",
        "sampled",
        "presets",
        "failed",
        "running",
        "best",
        "last",
        "trial",
        "storage",
    ]
    assert one.split()[:7] == ["one", "0", "2", "1", "0", "94.0", "%"]
    assert one.endswith(f"sqlite:///{Path.cwd()}/studies/one.db")
    assert two.split()[:6] == ["two", "0", "0", "0", "1", "-"]


def test_list_one_study_or_one_storage(make_study, capsys):
    make_study("one", *TRIALS)
    make_study("two")
    for override in ("study.name=two", "study.storage=sqlite:///studies/two.db"):
        run(override)
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["study", "two"]


def test_list_shows_the_others_beside_damaged_ones(make_study, capsys):
    make_study("one", *TRIALS)
    for name, content in (("cut", b"SQLite format 3\x00" + bytes(900)), ("text", b"not at all" * 20)):
        Path(f"studies/{name}.db").write_bytes(content)
    with pytest.raises(XaipruneError, match=r"cut\.db cannot be read|text\.db cannot be read"):
        run()
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].startswith("one ")
    assert "cannot be read" in shown.err
    run("study.name=one")  # has nothing to do with them


def test_list_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(XaipruneError, match=r"no studies in .*'xaiprune search' makes one"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_list_a_study_of_another_program(make_study, capsys):
    study = make_study("one")
    with quiet():
        optuna.create_study(storage=study._storage, study_name="theirs", directions=["minimize", "maximize"])
    run()
    assert capsys.readouterr().out.splitlines()[2].split()[:6] == ["theirs", "0", "0", "0", "0", "-"]
    run("study.name=theirs", "study.storage=sqlite:///studies/one.db", "studies.action=show")
    assert "schema    none; this xaiprune reads xaiprune/study/1" in capsys.readouterr().out
    with pytest.raises(XaipruneError, match="'theirs' was not made by xaiprune"):
        run("study.name=theirs", "study.storage=sqlite:///studies/one.db", "studies.action=repair")


def test_show(make_study, capsys):
    study = make_study("one", *TRIALS)
    add_running(study, {"pid": 77, "host": "elsewhere"})
    run("study.name=one", "studies.action=show")
    shown = capsys.readouterr().out
    assert "trials    0 sampled and 2 presets done, 1 failed, 1 running, 0 queued; last 2" in shown
    assert "  model.name       digits_resnet\n" in shown
    assert "  data.classes     0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n" in shown
    assert "  prune.rate       0.5\n" in shown
    assert f"optuna {optuna.__version__}" in shown
    assert "best      trial 2: 94.0 %; epsilon 1e-06 everywhere" in shown
    assert "failed    trial 1: relevance of layer conv1 is not finite\n" in shown
    assert "running   trial 3: process 77 on elsewhere\n" in shown


def test_actions_read_like_verbs(make_study, capsys):
    make_study("one", *TRIALS)
    assert main(["studies", "show", "study.name=one"]) == 0
    assert "best      trial 2: 94.0 %" in capsys.readouterr().out
    assert main(["studies", "list"]) == 0
    assert main(["studies", "shwo"]) == 2
    assert "studies.action must be one of list, show, repair, copy, got shwo; did you mean 'show'?" in (
        capsys.readouterr().err
    )


def test_repair_queues_the_trials_of_dead_workers(make_study, capsys):
    study = make_study("one", *TRIALS)
    number = add_running(study, dead_worker())
    alive = add_running(study, {"pid": 77, "host": "elsewhere", "namespace": "", "born": "1"})
    run("study.name=one", "studies.action=repair")
    shown = capsys.readouterr().out
    assert f"trial {number} was not finished; its parameters are queued again" in shown
    assert f"trial {alive} is left alone: process 77 on elsewhere" in shown
    trials = load("one").get_trials()
    assert trials[number].state is TrialState.FAIL
    assert trials[alive].state is TrialState.RUNNING
    assert trials[-1].state is TrialState.WAITING
    assert trials[-1].params == trials[number].params
    run("study.name=one", "studies.action=show")
    assert f"failed    trial {number}: left unfinished; tried again as trial 5" in capsys.readouterr().out


def test_repair_nothing(make_study, capsys):
    make_study("one", *TRIALS)
    run("study.name=one", "studies.action=repair")
    assert "nothing to repair" in capsys.readouterr().out
    assert len(load("one").trials) == 3


def test_repair_leaves_a_live_worker_alone(make_study):
    study = make_study("one")
    with quiet():
        trial = study.ask()
    with stale.running() as name:
        stale.sign(trial, name)
        run("study.name=one", "studies.action=repair")
    assert [t.state for t in load("one").trials] == [TrialState.RUNNING]


@pytest.mark.parametrize("to", [["studies.to_name=two"], ["studies.to_storage=sqlite:///other/two.db"]])
def test_copy(make_study, capsys, to):
    original = make_study("one", *TRIALS)
    run("study.name=one", "studies.action=copy", *to)
    assert "copied  3 trials of 'one'" in capsys.readouterr().out
    named = (
        ["study.name=two"] if "name" in to[0] else ["study.storage=sqlite:///other/two.db", "study.name=one"]
    )
    copied = load_study(compose("studies", named))
    assert copied.user_attrs == original.user_attrs
    assert [t.user_attrs for t in copied.trials] == [t.user_attrs for t in original.trials]
    assert [t.values for t in copied.trials] == [t.values for t in original.trials]


def test_copy_never_overwrites(make_study):
    make_study("one", *TRIALS)
    make_study("two")
    with pytest.raises(XaipruneError, match=r"there is a study 'two' in .*set studies\.to_name=ANOTHER_NAME"):
        run("study.name=one", "studies.action=copy", "studies.to_name=two")
    assert load("two").trials == []


def test_copy_is_whole_or_not_there(make_study, monkeypatch):
    make_study("one", *TRIALS)
    copy_study = optuna.copy_study

    def cut_off(**arguments):
        copy_study(**arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna, "copy_study", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run("study.name=one", "studies.action=copy", "studies.to_name=two")
    with quiet():
        names = optuna.get_all_study_names(open_storage("sqlite:///studies/two.db"))
    assert names == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["studies.action=copy"], r"needs studies\.to_name=NAME"),
        (["studies.to_name=two"], r"belong to studies\.action=copy"),
        (["studies.assume_dead=true"], r"studies\.assume_dead belongs to studies\.action=repair"),
        (["studies.action=delete"], r"studies\.action must be one of list, show, repair, copy"),
    ],
)
def test_settings_that_do_not_fit(make_study, overrides, message):
    make_study("one")
    with pytest.raises(XaipruneError, match=message):
        run("study.name=one", *overrides)


def test_copy_waits_for_running_trials(make_study):
    add_running(make_study("one"), {"pid": 77, "host": socket.gethostname()})
    with pytest.raises(XaipruneError, match=r"has 1 running trials; .*studies\.action=repair"):
        run("study.name=one", "studies.action=copy", "studies.to_name=two")


@pytest.mark.parametrize("action", ["show", "repair", "copy"])
def test_a_missing_file_is_not_made(make_study, action):
    make_study("resnet")
    to = ["studies.to_name=two"] if action == "copy" else []
    with pytest.raises(XaipruneError, match=r"resnat\.db does not exist; did you mean 'resnet'\?"):
        run("study.name=resnat", f"studies.action={action}", *to)
    assert [path.name for path in Path("studies").glob("*.db")] == ["resnet.db"]


def test_somebody_elses_database_is_left_alone(make_study):
    make_study("one")
    path = Path("studies/theirs.db")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (a)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(XaipruneError, match="holds no studies"):
        run("study.name=theirs", "studies.action=show")
    with pytest.raises(XaipruneError, match="holds no studies"):
        run("study.name=one", "studies.action=copy", "studies.to_name=theirs")
    assert path.read_bytes() == before


def test_a_study_that_is_not_in_the_file(make_study):
    make_study("one")
    with pytest.raises(XaipruneError, match=r"no study 'two' in .*; there are one"):
        run("study.name=two", "study.storage=sqlite:///studies/one.db", "studies.action=show")


def test_of_a_real_search(config, tmp_path, capsys):
    wanted = config("sampler=nsga2", "sampler.population_size=4", *few(10))
    study = search(wanted)
    stored = f"study.storage={wanted.study.storage}"
    target = f"sqlite:///{tmp_path}/copy.db"
    run("study.name=test", stored, "studies.action=copy", f"studies.to_storage={target}")
    wanted.study.storage = target
    assert counts(search(wanted)).done == 10  # the copy has the same set-up, and nothing is missing
    run("study.name=test", stored, "studies.action=show")
    assert f"trial {best_trial(study).number}: " in capsys.readouterr().out
    export.run(compose("export", ["study.name=test", stored, "export.top=2", f"output_dir={tmp_path}"]))
    assert load_composite(tmp_path / "top-01.yaml") == recipe_of(best_trial(study)).composite


def test_a_reader_that_has_gone_is_no_error(make_study):
    make_study("one", *TRIALS)
    command = [sys.executable, "-m", "xaiprune.cli", "studies", "show", "study.name=one"]
    read, write = os.pipe()
    os.close(read)  # as head does when it has seen enough
    with os.fdopen(write, "w") as nobody:
        ended = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")
