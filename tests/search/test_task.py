"""``xaiprune search``, as people run it."""

import re
from pathlib import Path

import pytest
import yaml

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution.lrp.composite_io import save_composite
from xaiprune.cli import search as task
from xaiprune.config import compose, conf_dir
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.space import read_space
from xaiprune.study import Ending


def test_from_nothing_to_the_table(
    config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.run(config(*few(9)))
    shown = capsys.readouterr().out
    assert "network     digits_resnet on cpu, 472 filters" in shown
    assert "10 reference, 40 validation, 20 test; 10 classes" in shown
    assert "trials      0 of 1 sampled trials done (0 of 8 presets)\n" in shown
    assert "racing      none: 40 validation images are too few\n" in shown
    assert len(re.findall(r"^trial +\d+ [* ] +[\d.]+ %", shown, re.MULTILINE)) == 9
    assert "best found" in shown
    folder = tmp_path / "studies" / "test"
    for name in ("best.yaml", "comparison.csv", "curves.png"):
        assert f"{folder / name}" in shown
        assert (folder / name).is_file()
    stored = f"study.storage=sqlite:///{tmp_path}/studies/test.db output_dir={folder}"
    assert f"xaiprune dashboard study.name=test {stored}" in shown

    task.run(config(*few(9)))
    again = capsys.readouterr().out
    assert "trials      1 of 1 sampled trials done (8 presets before)\n" in again
    assert "\ntrial " not in again
    assert again.split("best found")[1] == shown.split("best found")[1]


def test_interrupted(
    config: MakeConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "run_trials", lambda *_: Ending.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        task.run(config(*few(9)))
    stopped = "stopped: 0 of 1 sampled trials done (0 of 8 presets); the same command continues from here"
    assert stopped in capsys.readouterr().out


def test_nothing_is_written_before_the_set_up_fits(config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(XaipruneError, match="unknown key 'space"):
        task.run(config("space.strat=[one]"))
    assert not (tmp_path / "studies").exists()


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize("group", ["space", "sampler", "pruner", "objective", "study"])
def test_every_shipped_option_composes(group: str, tmp_path: Path) -> None:
    assert options(group)
    around = save_composite(tmp_path / "best.yaml", PRESETS["zplus"].composite)
    for option in options(group):
        needs = [f"space.around={around}"] if option in ("refine", "balance") else []
        found = compose("search", [f"{group}={option}", *needs])
        read_space(found.space, found.attribution)


def test_every_shipped_file_says_what_it_is() -> None:
    for group in ("space", "objective"):
        for option in options(group):
            text = (conf_dir() / group / f"{option}.yaml").read_text()
            assert text.startswith("#")
            assert yaml.safe_load(text)
