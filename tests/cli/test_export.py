"""``xaiprune export``: composites as files that the other tasks take."""

import re
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import FINGERPRINT, preset
from xaiprune.attribute.chosen import chosen_aggregation, chosen_composite, chosen_start
from xaiprune.attribute.lrp.composite_io import load_composite
from xaiprune.cli import export
from xaiprune.config import compose
from xaiprune.errors import XaipruneError

TRIALS = (
    ("taylor", 0.9, "a"),
    ("epsilon", 0.94, "b"),
    ("epsilon_cp", 0.94, "b"),  # removes what trial 1 does
    "out of memory",
    ("attnlrp_gamma", 0.5, "c"),
)


def run(*overrides: str) -> None:
    export.run(compose("export", ["study.name=one", *overrides]))


def written() -> list[str]:
    return sorted(path.name for path in Path("studies/one").iterdir())


def test_the_best(make_study, capsys):
    make_study("one", *TRIALS)
    run()
    path = Path("studies/one/best.yaml").absolute()
    assert f"trial    1   94.0 %  {path}\n" in capsys.readouterr().out
    assert written() == ["best.yaml"]
    assert load_composite(path) == preset("epsilon").composite
    origin = yaml.safe_load(path.read_text())["provenance"]
    assert (origin["study"], origin["trial"], origin["top1"]) == ("one", 1, 0.94)
    for key in ("model", "data", "units", "prune", "objective"):
        assert origin[key] == FINGERPRINT[key]
    assert "torch" in origin["versions"]


def test_a_given_trial(make_study):
    make_study("one", *TRIALS)
    run("export.trial=4")
    assert written() == ["trial-4.yaml"]
    assert load_composite("studies/one/trial-4.yaml") == preset("attnlrp_gamma").composite


def test_the_best_few_that_differ(make_study, capsys, tmp_path):
    make_study("one", *TRIALS)
    run("export.top=9", f"output_dir={tmp_path}/out")
    shown = capsys.readouterr().out
    assert re.findall(r"^trial +(\d+)", shown, re.MULTILINE) == ["1", "0", "4"]
    assert "only 3 finished trials that remove different units" in shown
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["top-01.yaml", "top-02.yaml", "top-03.yaml"]
    assert [yaml.safe_load(file.read_text())["provenance"]["trial"] for file in files] == [1, 0, 4]


def test_the_printed_overrides_give_the_same_ranking(make_study, capsys):
    make_study("one", *TRIALS)
    run("export.trial=0")
    overrides = capsys.readouterr().out.split("to use it: ")[1].split()
    config = compose("attribute", overrides)
    wanted = preset("taylor")
    assert chosen_composite(config.composite) == wanted.composite
    assert chosen_start(config.attribution) == wanted.start
    assert chosen_aggregation(config.attribution) == wanted.aggregation


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["export.trial=3"], r"export\.trial=3: .*fail \(out of memory\); choose another"),
        (["export.trial=7"], r"export\.trial=7: study 'one' has 5 trials, counted from 0"),
        (["export.trial=1", "export.top=2"], r"set one of them"),
        (["export.top=0"], r"export\.top must be at least 1"),
        (["export.weights=true"], r"unknown key 'export\.weights'"),
        (["study.name=on"], r"on\.db does not exist; did you mean 'one'\?"),
    ],
)
def test_what_cannot_be_exported(make_study, overrides, message):
    make_study("one", *TRIALS)
    with pytest.raises(XaipruneError, match=message):
        run(*overrides)
    assert not Path("studies/one").exists()


@pytest.mark.parametrize("top", [1, 3])
def test_nothing_finished(make_study, top):
    make_study("one", "out of memory")
    with pytest.raises(XaipruneError, match="study 'one' has no finished trial yet"):
        run(f"export.top={top}")


def test_a_study_of_a_newer_xaiprune(make_study):
    make_study("one", *TRIALS).set_user_attr("schema", "xaiprune/study/2")
    with pytest.raises(XaipruneError, match="has schema xaiprune/study/2, this xaiprune reads"):
        run()
