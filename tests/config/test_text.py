"""A text belongs to a language model; what does not fit is said before any work."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from xaiprune.config import DataConfig, compose, study_name
from xaiprune.data.sources.python_help import help_texts
from xaiprune.data.sources.text import Text
from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class Letters:
    """A language model whose tokens are letters."""

    context: int | None = None
    name: str = "letters"
    outputs: int = 100

    def all_ids(self, text: str) -> list[int]:
        return list(range(len(text)))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["model=hf", "model.path=MODEL", "data=text", "data.path=nowhere.txt"],
            "data.path: no such file: nowhere.txt",
        ),
        (
            ["model=resnet18", "data=text", "data.path=TEXT"],
            "needs a language model: set model=hf model.path",
        ),
        (["model=digits_vgg", "data.path=TEXT"], "data.path has no effect with data=digits; set data=text"),
        (["model=resnet18", "data=python_help"], "data=python_help needs a language model"),
        (
            ["model=help_llama", "data=python_help", "data.path=TEXT"],
            "data.path has no effect with data=python_help",
        ),
        (["model=help_llama", "data=text"], "data.path is required with data=text: a file of plain text"),
    ],
)
def test_what_does_not_fit_is_one_line(typed: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("a b c")
    (tmp_path / "model").mkdir()
    places = {"MODEL": str(tmp_path / "model"), "TEXT": str(tmp_path / "story.txt")}
    for name, place in places.items():
        typed = [part.replace(name, place) for part in typed]
    with pytest.raises(XaipruneError, match=message):
        compose("prune", typed)


def test_studies_are_named_after_model_and_text(tmp_path: Path) -> None:
    text, model = tmp_path / "story.txt", tmp_path / "small-llama"
    text.write_text("a b c")
    model.mkdir()
    config = compose("prune", ["model=hf", f"model.path={model}", "data=text", f"data.path={text}"])
    assert study_name(config).startswith("small-llama-story-")


def test_texts_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    config = DataConfig(source="text", path=str(path), window=4)

    def refused(reason: str, context: int | None = None) -> None:
        with pytest.raises(XaipruneError, match=reason):
            Text.read(config, Letters(context))

    path.write_text("  \n")
    refused("is empty")
    path.write_bytes(b"\xff\xfe\xfa")
    refused("cannot be read as text")
    path.write_text("abcdefgh")
    refused("has 8 tokens, not enough for 3 windows of 4")
    refused(r"data.window=4 is longer than the network reads \(3 tokens\)", context=3)
    path.write_text("abcdefghijklmn")
    data = Text.read(config, Letters(4))
    assert [len(part) for part in (data.reference, data.validation, data.test)] == [1, 1, 1]


def test_parts_of_the_help_share_no_paragraph() -> None:
    parts = [set(text.splitlines()) for text in help_texts().values()]
    assert all(not one & other for one, other in combinations(parts, 2))
    whole = [text for part in help_texts().values() for text in part.splitlines()]
    assert len(whole) == len(set(whole)) > 500  # topics repeat each other
    assert all(text[0].isupper() and text[-1] in ".:" for text in whole)
    shares = [len(text) for text in help_texts().values()]
    assert shares[0] / sum(shares) == pytest.approx(0.6, abs=0.05)
