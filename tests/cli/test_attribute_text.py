"""xaiprune attribute on texts: the files that it writes, and one line for what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from tests.models.test_language import save
from xaiprune.cli.__main__ import main
from xaiprune.cli.common.flags import spelled_out
from xaiprune.config import compose


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
    ],
)
def test_bad_input(
    folder: Path, tmp_path: Path, keys: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    places = {"EMPTY": str(tmp_path / "empty.txt"), "NOWHERE": str(tmp_path / "nowhere.txt")}
    for name, place in places.items():
        keys = tuple(key.replace(name, place) for key in keys)
    assert main(arguments(folder, *keys, f"output_dir={tmp_path / 'out'}")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert error.startswith("xaiprune: ")


def test_texts_need_a_language_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribute", "model=digits_resnet", "text=Once"]) == 2
    assert "model=hf" in capsys.readouterr().err
