"""The wheel works on its own: built, installed into an empty folder, and used from another one."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
Run = Callable[..., str]


@dataclass(frozen=True)
class Installed:
    """An installed wheel.

    Attributes:
        wheel: The file.
        site: The folder that holds the package, beside ``bin``.
    """

    wheel: Path
    site: Path


def pip(*arguments: str) -> None:
    """Without network; what the wheel depends on is installed already."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """``pip wheel .`` and ``pip install`` of what it makes."""
    pytest.importorskip("pip")
    pytest.importorskip("hatchling", reason="needs the dev extra: hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(REPOSITORY))
    (wheel,) = folder.glob("xaiprune-*.whl")
    site = folder / "site"
    pip("install", "--no-deps", "--no-index", f"--target={site}", str(wheel))
    return Installed(wheel, site)


@pytest.fixture
def run(installed: Installed, tmp_path: Path) -> Run:
    """``run("bin/xaiprune", "--help")``: what an installed program prints, in an empty folder."""

    def run(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(installed.site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_has_the_package_and_nothing_else(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"xaiprune", f"xaiprune-{version()}.dist-info"}
    assert "xaiprune/py.typed" in names


def test_its_help_lists_the_tasks(installed: Installed, run: Run) -> None:
    from xaiprune.cli.__main__ import tasks

    shown = run(str(installed.site / "bin" / "xaiprune"), "--help")
    assert [task for task in tasks() if task not in shown] == []


def test_it_searches(installed: Installed, run: Run, tmp_path: Path, session_cache: str) -> None:
    where = run("-c", "import xaiprune, xaiprune.config as c; print(xaiprune.__file__, c.conf_dir())")
    assert where.split() == [str(installed.site / "xaiprune" / name) for name in ("__init__.py", "conf")]
    few = ("data.reference_per_class=1", "data.validation_per_class=4", "data.test_per_class=2")
    shown = run(
        *(
            "-m",
            "xaiprune.cli",
            "search",
            "model=digits_resnet",
            "study.name=one",
            "study.n_trials=1",
            "study.presets=[taylor]",
        ),
        *(*few, f"data.cache_dir={session_cache}", "device=cpu"),
    )
    assert "0 of 1 sampled trials done" in shown
    assert {file.name for file in (tmp_path / "studies" / "one").iterdir()} >= {"best.yaml", "comparison.csv"}
    assert (tmp_path / "studies" / "one.db").is_file()


def version() -> str:
    """The repository's."""
    import xaiprune

    return xaiprune.__version__
