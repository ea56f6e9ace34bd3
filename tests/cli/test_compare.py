"""``xaiprune compare``: from a stored study with nothing typed again, and from a composite file."""

import json
from pathlib import Path

import pandas as pd
import pytest

from xaiprune.attribution.lrp.composite_io import save_composite
from xaiprune.cli.__main__ import main
from xaiprune.comparison.run import BEST
from xaiprune.recipe import PRESETS
from xaiprune.session import PruningSession

FEW = ["compare.rates=[0,0.4]", "compare.presets=[epsilon,zplus]", "compare.criteria=[taylor,fisher]"]
COMMAND = ["compare", "study.name=one", *FEW, "compare.seeds=2"]


def test_nothing_of_the_set_up_is_typed_again(searched, capsys, monkeypatch):
    assert main(COMMAND) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("best        trial ")
    assert "digits_resnet: 40 % of " in shown
    assert "inner_filters removed, 20 test images" in shown
    assert "best preset " in shown
    folder = Path("studies/one")
    assert {"comparison.csv", "comparison.json", "curves.png", "summary.csv", ".cache"} <= {
        path.name for path in folder.iterdir()
    }
    assert not (folder / "compare").exists()
    assert (folder / ".cache" / "measured.jsonl").is_file()
    assert json.loads((folder / "comparison.json").read_text())["trial"] >= 0
    table = pd.read_csv(folder / "summary.csv")
    assert list(table.method) == ["dense", BEST, "LRP epsilon", "LRP zplus", "taylor", "fisher", "random"]
    assert str(folder.absolute() / "summary.csv") in shown

    monkeypatch.setattr(PruningSession, "accuracy", None)
    assert main(COMMAND) == 0  # all is read back
    assert capsys.readouterr().out == shown


def test_what_was_compared_with_more_outlasts_the_search(searched):
    assert main(COMMAND) == 0
    before = Path("studies/one/comparison.csv").read_bytes()
    assert main(["search", *searched]) == 0
    assert Path("studies/one/comparison.csv").read_bytes() == before


def test_figures_of_an_earlier_version_are_taken_over(searched, monkeypatch):
    assert main(COMMAND) == 0
    folder = Path("studies/one")
    (folder / ".cache" / "measured.jsonl").rename(folder / "measured.jsonl")
    (folder / "comparison.json").unlink()
    monkeypatch.setattr(PruningSession, "accuracy", None)
    assert main(COMMAND) == 0
    assert not (folder / "measured.jsonl").exists()


def test_peers_and_compensations_are_asked_for_by_name(searched, capsys):
    typed = ["compare.peers=[wanda,vbp]", "compare.compensate=[none,mean]", "compare.criteria=[]"]
    assert main([*COMMAND, "compare.presets=[]", *typed]) == 0
    assert "best peer " in capsys.readouterr().out
    table = pd.read_csv("studies/one/summary.csv").set_index("method")
    assert list(table.index) == [
        *("dense", BEST, "Wanda-sp (none)", "Wanda-sp (mean)", "VBP", "random (none)", "random (mean)")
    ]
    assert table.macs["dense"] == 1
    assert (table.macs[1:] < 1).all()


def test_a_sweep_ends_with_a_table(searched, capsys):
    assert main([*COMMAND[:2], *FEW, "compare.criteria=[taylor]", "compare.seeds=1,2", "--multirun"]) == 0
    *_, heading, one, two = capsys.readouterr().out.splitlines()
    assert heading.split() == ["compare.seeds", "best", "MACs", "left", "best", "other"]
    assert (one.split()[0], two.split()[0]) == ("1", "2")
    table = pd.read_csv("studies/one-compare.seeds_1/summary.csv").set_index("method")
    top1 = [f"{100 * table.top1[table.kind == 'best'].item():.1f}", "%", f"{table.macs[BEST]:.2f}"]
    assert one.split()[1:4] == two.split()[1:4] == top1
    others = table[~table.kind.isin(["dense", "best"])].top1
    assert one.split()[4:6] == [f"{100 * others.max():.1f}", "%"]
    assert one.endswith(str(others.idxmax()))


def test_another_set_up_is_refused(searched, capsys):
    assert main([*COMMAND, "prune.rate=0.3", "units=filters"]) == 2
    error = capsys.readouterr().err
    assert "units.kind was inner_filters, now filters" in error
    assert "prune.rate was 0.4, now 0.3" in error
    assert "Leave out what was typed" in error
    assert len(error.splitlines()) == 1
    assert not Path("studies/one/comparison.csv").exists()


def test_the_whole_set_up_may_be_typed(searched, capsys):
    assert main([*COMMAND, *searched]) == 0
    assert "40 % of" in capsys.readouterr().out


def test_from_another_folder(searched, capsys, monkeypatch, tmp_path):
    """Paths that were relative to the search's folder are found."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    storage = f"study.storage=sqlite:///{tmp_path}/studies/one.db"
    assert main([*COMMAND, storage]) == 0
    assert (elsewhere / "studies/one/summary.csv").is_file()


def test_a_composite_file_needs_no_study(searched, capsys, tmp_path):
    file = save_composite(tmp_path / "mine.yaml", PRESETS["attnlrp_gamma"].composite)
    typed = [*searched, "output_dir=out", *FEW]
    assert main(["compare", f"composite={file}", *typed]) == 0
    shown = capsys.readouterr().out
    assert "p: mine.yaml against the method on the same images" in shown
    table = pd.read_csv("out/mine/summary.csv")
    assert list(table.method[:2]) == ["dense", "mine.yaml"]
    assert table.kind[1] == "best"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.name=two"], "no study there: "),
        (["compare.rates=[0.4,0.2]", "study.name=one"], "the rates of a comparison must rise"),
        (["compare.rates=[1.0]", "study.name=one"], "compare.rates must be"),
        (["compare.presets=[zpuls]", "study.name=one"], "compare.presets: there is no preset 'zpuls'"),
        (["compare.criteria=[tailor]", "study.name=one"], "unknown criterion 'tailor'"),
        (["compare.peers=[wander]", "study.name=one"], "compare.peers must be all, or a list of wanda, flap"),
    ],
)
def test_what_cannot_be_compared(searched, capsys, overrides, message):
    assert main(["compare", *overrides]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_nothing_finished(make_study, capsys):
    make_study("one", "out of memory")
    assert main(COMMAND) == 2
    assert "study 'one' has no finished trial yet" in capsys.readouterr().err
