"""Workers: several real processes on one study, started by Hydra's launchers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from hydra.core.global_hydra import GlobalHydra
from optuna.trial import TrialState

from tests.search.conftest import FEW_IMAGES, PLAIN, SHALLOW, few
from tests.search.conftest import postgres as postgres
from tests.search.conftest import postgres_url as postgres_url
from xaiprune.cli.__main__ import main
from xaiprune.cli.common import workers
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.storage import stale
from xaiprune.study import Counts, counts, load_study

Typed = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install 'xaiprune[launchers]'")
    monkeypatch.chdir(tmp_path)
    yield
    GlobalHydra.instance().clear()


@pytest.fixture
def typed(weights: dict[str, Path], session_cache: str, tmp_path: Path) -> Typed:
    """``typed("study.n_trials=9")``: what one types for a small search with two workers."""

    def make(*overrides: str) -> list[str]:
        return [
            "search",
            "--multirun",
            "worker=range(2)",
            "model=digits_resnet",
            f"model.checkpoint={weights['digits_resnet']}",
            *(f"model.kwargs.{key}={value}" for key, value in SHALLOW["digits_resnet"].items()),
            f"data.cache_dir={session_cache}",
            "study.name=test",
            "device=cpu",
            *FEW_IMAGES,
            *PLAIN,
            *overrides,
        ]

    return make


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the studies that were compared on the test split; the comparison itself is left out."""
    found: list[str] = []
    monkeypatch.setattr(workers, "finish", lambda setup, study, *_: found.append(study.study_name))
    return found


def stored(*overrides: str) -> optuna.Study:
    return load_study(compose("studies", ["study.name=test", *overrides]))


def numbers(study: optuna.Study) -> set[int]:
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return {trial.user_attrs[stale.WORKER]["number"] for trial in done}


# Killed workers and errors, below, are tried with the two other combinations.
@pytest.mark.parametrize(("launcher", "storage"), [("joblib", "sqlite"), ("submitit_local", "postgresql")])
def test_two_workers_share_a_study(
    typed: Typed,
    compared: list[str],
    launcher: str,
    storage: str,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    where = []
    if storage == "postgresql":
        where = [f"study.storage={request.getfixturevalue('postgres_url')}"]
    assert main(typed(f"hydra/launcher={launcher}", *few(14), *where)) == 0
    study = stored(*where)
    now = counts(study)
    assert now == Counts(done=14, running=0, failed=0, presets=8)
    assert compared == ["test"]
    sampled = [str(trial.params) for trial in study.trials if "preset" not in trial.user_attrs]
    assert len(set(sampled)) == len(sampled)
    presets = [trial.user_attrs["preset"] for trial in study.trials if "preset" in trial.user_attrs]
    assert len(set(presets)) == len(presets) == 8
    printed = capfd.readouterr().out
    assert printed.count("network     digits_resnet on cpu") == 1
    assert "workers     2\n" in printed
    assert printed.count("\ntrial ") == now.done
    # Again: nothing is missing, so nobody is started.
    assert main(typed(f"hydra/launcher={launcher}", *few(14), *where)) == 0
    assert counts(stored(*where)) == now


def test_a_killed_worker(
    typed: Typed, compared: list[str], postgres_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    where = f"study.storage={postgres_url}"
    killed: list[int] = []
    config = compose("studies", ["study.name=test", where])  # here: Hydra cannot compose in two threads

    over = threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.1):
            try:
                trials = load_study(config).get_trials(deepcopy=False)
            except XaipruneError:  # it does not exist yet
                continue
            running = [t for t in trials if t.state is TrialState.RUNNING and stale.WORKER in t.user_attrs]
            if running and sum(trial.state is TrialState.COMPLETE for trial in trials) >= 3:
                pid = running[0].user_attrs[stale.WORKER]["pid"]
                assert pid != os.getpid()
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        assert main(typed("hydra/launcher=joblib", *few(16), where)) == 0
    finally:
        over.set()
        killer.join()
    assert killed
    now = counts(stored(where))
    assert (now.done, now.running) == (16, 0)
    assert compared == ["test"]
    assert "a worker was killed" in capfd.readouterr().err


def test_an_error_in_one_worker(
    typed: Typed, compared: list[str], weights: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("0.safetensors").write_bytes(weights["digits_resnet"].read_bytes())
    Path("1.safetensors").write_bytes(b"no weights at all")
    own = "model.checkpoint='${worker}.safetensors'"
    assert main(typed("hydra/launcher=submitit_local", *few(9), own)) == 2
    shown = capfd.readouterr()
    (line,) = [line for line in shown.err.splitlines() if "worker 1" in line]
    assert line.startswith("xaiprune: worker 1: model.checkpoint")
    assert "Traceback" not in shown.err
    study = stored()
    assert counts(study).done == 9
    assert numbers(study) == {0}
    assert compared == ["test"]


def test_ctrl_c(typed: Typed) -> None:
    """The terminal's: to who leads and to the workers alike. All end after their trials."""
    command = [sys.executable, "-m", "xaiprune.cli", *typed("hydra/launcher=joblib", *few(5000))]
    out = Path("out.txt")
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while out.read_text().count("\ntrial ") < 4:
            assert process.poll() is None, out.read_text()
            assert time.monotonic() < deadline, out.read_text()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 130, out.read_text()
    finally:
        if process.poll() is None:  # it must not slow the other tests
            os.killpg(process.pid, signal.SIGKILL)
    study = stored()
    now = counts(study)
    printed = out.read_text()
    assert (now.running, now.failed) == (0, 0)
    assert f"stopped: {now.text(4992)}; the same command continues from here" in printed
    assert "xaiprune: ending after the running trials; once more to end at once" in printed
    assert "Traceback" not in printed
    for trial in study.trials:
        if trial.state is TrialState.COMPLETE:
            assert stale._born(trial.user_attrs[stale.WORKER]["pid"]) is None  # its process has ended


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "2 workers need a launcher that runs them at once: hydra/launcher=joblib"),
        (["hydra/launcher=joblib", "worker=1,1"], "runs of the sweep would share study 'test'"),
        (["hydra/launcher=joblib", "study.name='s${worker}'"], "must not depend on worker"),
        (["hydra/launcher=jobib"], "unknown launcher 'jobib'; did you mean 'joblib'"),
        (["hydra/launcher=joblib", "seed=0,1"], r"would share study 'test' in .*leave out study\.name"),
    ],
)
def test_workers_that_cannot_work(
    typed: Typed, overrides: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    command = [
        word
        for word in typed()
        if word != "worker=range(2)" or not any("worker=" in o for o in overrides[1:])
    ]
    assert main([*command, *overrides]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not Path("studies").exists()


def test_two_studies_with_two_workers_each(
    typed: Typed, compared: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    command = [word for word in typed() if word != "study.name=test"]
    assert main([*command, "hydra/launcher=joblib", "prune.rate=0.3,0.5", *few(3)]) == 0
    names = [f"digits_resnet-digits-auto-{rate}" for rate in (0.3, 0.5)]
    assert compared == names
    for name in names:
        assert counts(stored(f"study.name={name}")).done == 3
        assert f"\n{name}  trial " in capfd.readouterr().out or name == names[1]


def test_only_a_search_has_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "worker=0"]) == 2
    assert "worker=0 belongs to 'xaiprune search'" in capsys.readouterr().err


def test_a_worker_by_hand(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    command = [word for word in typed(*few(2), "worker=3") if word not in ("--multirun", "worker=range(2)")]
    assert main(command) == 0
    assert "worker 3 has ended; the same command without worker= compares" in capsys.readouterr().out
    assert counts(stored()) == Counts(done=2, running=0, failed=0, presets=2)
    assert numbers(stored()) == {3}
