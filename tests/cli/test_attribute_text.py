"""xaiprune attribute on texts: the files that it writes, and one line for what it cannot use."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from tests.models.test_language import save
from xaiprune.cli.__main__ import main
from xaiprune.cli.common.flags import spelled_out
from xaiprune.config import compose
from xaiprune.models import open_language_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "model")


def arguments(folder: Path, *rest: str) -> list[str]:
    return ["attribute", "model=hf", f"model.path={folder}", "device=cpu", *rest]


def test_a_page_a_picture_and_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(arguments(folder, "prompt=Once there was", "generate=2", f"output_dir={out}")) == 0
    assert str(out / "tokens.html") in capsys.readouterr().out
    (written,) = json.loads((out / "tokens.json").read_text())
    assert len(written["answers"]) == 2
    assert len(written["tokens"]) == 5
    assert {"tokens.html", "tokens.png", "tokens.json"} == {file.name for file in out.iterdir()}


def test_several_texts_from_a_file(folder: Path, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("Once there was a cat.\n\nthere was a cat\n")
    assert main(arguments(folder, f"texts={texts}", f"output_dir={out}", "composite=epsilon")) == 0
    written = json.loads((out / "tokens.json").read_text())
    assert [len(text["tokens"]) for text in written] == [6, 4]


def test_units_beside_the_tokens(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    keys = ("prompt=Once there was", "generate=2", "attribute.units=true", f"output_dir={out}")
    assert main(arguments(folder, *keys)) == 0
    with (out / "units.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (8 + 2)  # two answers, eight neurons and two heads
    assert {row["kind"] for row in rows} == {"neurons", "heads"}
    assert "relevance" in (out / "units.html").read_text()


def test_the_texts_of_units(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "corpus.txt", tmp_path / "out"
    file.write_text("Once there was a cat, a cats. " * 30)
    unit = "model.layers.0.mlp.gate_proj:3, model.layers.0.self_attn:1"
    keys = ("data=text", f"data.path={file}", "data.window=8", f"unit={unit}", f"output_dir={out}")
    assert main(arguments(folder, *keys)) == 0
    first, second = json.loads((out / "units.json").read_text())
    assert [first["unit"], second["unit"]] == unit.split(", ")
    tokens = len(open_language_model(folder).all_ids(file.read_text()))
    assert first["windows"] == tokens // 8  # those of all parts
    assert "most active" in (out / "units.html").read_text()
    assert str(out / "units.html") in capsys.readouterr().out


@pytest.mark.parametrize("value", ["a, b", "Lily's dog: (big)", "2024", "null", "x=1"])
def test_texts_are_typed_as_they_are(value: str) -> None:
    """What the shell leaves of ``text="a, b"`` has no quotes, and commas and colons are Hydra's own signs."""
    typed = spelled_out("attribute", [f"text={value}", "generate=2"])
    assert compose("attribute", ["model=digits_resnet", *typed]).text == value
    assert spelled_out("attribute", [f"text={value}", "--multirun"])[0] == f"text={value}"
    assert spelled_out("attribute", ["text='a'"]) == ["text='a'"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((), "set one of text="),
        (("text=Once", "prompt=Once"), "set one of text="),
        (("text=Once there, a", "target=cats"), "is 2 tokens"),
        (("texts=EMPTY",), "is empty"),
        (("texts=NOWHERE",), "cannot read"),
        (("text=  ",), "is empty"),
        (("unit=model.layers.0.mlp.gate_proj:3",), "set data=text"),
        (("unit=a:3", "text=Once"), "takes no text="),
        (("unit=a:3", "data=text", "data.path=CORPUS", "data.window=4"), "is none of"),
    ],
)
def test_bad_input(
    folder: Path, tmp_path: Path, keys: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "corpus.txt").write_text("Once there was a cat. " * 9)
    places = {"EMPTY": str(tmp_path / "empty.txt"), "NOWHERE": str(tmp_path / "nowhere.txt")}
    places["CORPUS"] = str(tmp_path / "corpus.txt")
    for name, place in places.items():
        keys = tuple(key.replace(name, place) for key in keys)
    assert main(arguments(folder, *keys, f"output_dir={tmp_path / 'out'}")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert error.startswith("xaiprune: ")


def test_texts_need_a_language_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribute", "model=digits_resnet", "text=Once"]) == 2
    assert "model=hf" in capsys.readouterr().err
