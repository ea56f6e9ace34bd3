"""Where configuration and caches are looked for."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from xaiprune.config import cache_dir, conf_dir

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_checkout_uses_its_top_level_conf():
    assert (conf_dir() / "search.yaml").is_file()


def test_the_wheel_carries_conf(tmp_path):
    pytest.importorskip("hatchling")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=REPOSITORY, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"xaiprune/conf/{path.relative_to(conf_dir()).as_posix()}" for path in conf_dir().rglob("*.yaml")
    }
    assert expected <= names
    # And the copy in the wheel is the one that is used: import it from there.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    command = "from xaiprune.config import compose, conf_dir; compose('search'); print(conf_dir())"
    shown = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path / "installed",
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(shown.stdout.strip()) == (tmp_path / "installed" / "xaiprune" / "conf").resolve()


def test_the_cache_goes_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("XAIPRUNE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == Path.home() / ".cache" / "xaiprune"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "xaiprune"
    monkeypatch.setenv("XAIPRUNE_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert cache_dir(str(tmp_path / "configured")) == tmp_path / "configured"
