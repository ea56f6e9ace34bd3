"""README and docs are true: everything in them that can be typed is typed here."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import optuna
import pytest
import yaml

from tests.docs.pages import PAGES, REPOSITORY, Block, Command, blocks, commands, prose
from tests.docs.typist import LOOKING, Typist, cheap_python
from tests.docs.typist import typist as typist
from xaiprune.attribution.lrp import composite_from_dict
from xaiprune.cli.__main__ import tasks
from xaiprune.cli.demo import DIGITS
from xaiprune.comparison.table import Comparison
from xaiprune.errors import XaipruneError
from xaiprune.pruning.plan import plan_from_dict
from xaiprune.recipe import load_recipe, save_recipe
from xaiprune.space.reader import read_space

DEMO = DIGITS[0]
LANGUAGES = {"bash", "python", "yaml", "json", "text", "csv", "markdown", ""}
_SPAN = re.compile(r"`(xaiprune [^`]+)`")


def shell_commands(block: Block) -> list[Command]:
    return list(commands(block)) if block.language == "bash" else []


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_says_can_be_typed(
    page: Path, typist: Typist, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From top to bottom in one folder: shell commands on digits are run, others composed; Python is run."""
    namespace: dict[str, object] = {"__name__": "page"}
    monkeypatch.setattr("sys.argv", ["xaiprune"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if DEMO.overrides[-1].removeprefix("study.name=") in page.read_text(
        encoding="utf-8"
    ):  # a reader has run the demo
        typist.xaiprune(Command(Block(page, 0, "bash", ""), ("xaiprune",)), ["search", *DEMO.overrides])
    for block in blocks(page):
        if block.file is not None:
            typist.put(block)
        elif block.language == "bash":
            typist.shell(block)
        elif block.language == "python" and block.not_run is None:
            try:
                exec(
                    compile("\n" * (block.line - 1) + cheap_python(block.text), page.name, "exec"), namespace
                )
            except Exception as error:
                raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error
    capsys.readouterr()  # what the commands printed; kept out of the way of what was done with them
    for command, what in typist.log:
        print(f"{what:<9} {command}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_its_language(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.where}: '{block.language}' is not looked at by any test"
        if block.language not in ("bash", "python"):
            typed = [line for line in block.text.splitlines() if re.match(r"\$?\s*xaiprune [a-z]", line)]
            assert not typed, f"{block.where}: a command outside of a bash block is not tested: {typed[0]}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_escapes(page: Path) -> None:
    """Indented commands that follow on text without an empty line are no block for Markdown either."""
    typed = [shlex.join(command.words) for block in blocks(page) for command in shell_commands(block)]
    for line in page.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"(?: {4,}|\t)\$? *(xaiprune [a-z]\S*)", line):
            assert any(command.startswith(found[1]) for command in typed), f"{name_of(page)}: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_compose(page: Path, typist: Typist) -> None:
    for text in _SPAN.findall(prose(page).replace("\n", " ")):
        if "<" in text or "..." in text:
            continue
        text = text.partition(" | ")[0]
        command = Command(Block(page, 0, "bash", text), tuple(shlex.split(text)))
        task, *words = [typist.fill(word, command) for word in command.words[1:]]
        assert task in tasks(), f"{name_of(page)}: `{text}`: no such task"
        if task == "demo" or not words or set(words) & set(LOOKING):  # without keys, the task itself is meant
            continue
        try:
            typist.configs([task, *words])
        except XaipruneError as error:
            if not re.search(r"no such (file|folder)", str(error)):  # a reader would have it by then
                raise AssertionError(f"{name_of(page)}: `{text}`: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_shown_are_read(page: Path, tmp_path: Path) -> None:
    """YAML and JSON with a schema line are what the program reads. (Commands read the files with a name.)"""
    for block in blocks(page):
        if block.language not in ("yaml", "json") or block.not_run is not None or block.file is not None:
            continue
        data = yaml.safe_load(block.text) if block.language == "yaml" else json.loads(block.text)
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema is None:
            continue
        kind = str(schema).split("/")[1]
        if kind == "space":
            read_space(data)
        elif kind == "composite":
            composite_from_dict(data, block.where)
        elif kind == "recipe":
            shown = tmp_path / "shown.yaml"
            shown.write_text(block.text, encoding="utf-8")
            written = yaml.safe_load(save_recipe(shown, load_recipe(shown)).read_text(encoding="utf-8"))
            assert list(written) == [key for key in data if key != "provenance"], block.where
        elif kind == "plan":
            plan_from_dict(data, block.where)
        elif kind == "pruned":
            plan_from_dict(data["plan"], block.where)
        elif kind == "comparison":
            known = {field.name for field in fields(Comparison)} - {"frame"}
            assert set(data) - {"schema", "key", "of"} <= known, (
                f"{block.where}: a key that no comparison has"
            )
        else:
            raise AssertionError(f"{block.where}: the test cannot read {schema}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{name_of(page)}: {target} is no heading"


def anchors(page: Path) -> set[str]:
    """GitHub's names for a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings
    }


def test_readme_has_the_two_commands() -> None:
    typed = [shlex.join(c.words) for b in blocks(REPOSITORY / "README.md") for c in commands(b)]
    assert typed[:2] == ["make demo", "make test"]
    assert sum(command.startswith("xaiprune search") for command in typed) >= 3


def test_pages_that_are_read_first_are_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert len((REPOSITORY / "docs" / "search.md").read_text(encoding="utf-8").split()) <= 1200


def test_every_page_is_in_the_index() -> None:
    docs = REPOSITORY / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    for page in docs.glob("**/*.md"):
        name = page.relative_to(docs).as_posix()
        assert name == "README.md" or f"({name})" in index, f"docs/README.md does not link {name}"


def block_of(tmp_path: Path, text: str) -> Block:
    return Block(REPOSITORY / "README.md", 1, "bash", text)


@pytest.mark.parametrize(
    "text",
    [
        "xaiprune serch model=digits_resnet",
        "xaiprune search prune.rat=0.3",
        "xaiprune search model.checkpoint=WHATEVER",
        "xaiprune export study.name=nobody_made_it",
        "make coffee",
        "pip install 'xaiprune[everything]'",
        "python docs/not_there.py",
        "frobnicate",
        "xaiprune search --froibnicate",
    ],
)
def test_a_wrong_command_is_found(text: str, typist: Typist, tmp_path: Path) -> None:
    """The tests above can fail."""
    with pytest.raises((AssertionError, XaipruneError)):
        typist.shell(block_of(tmp_path, text))


def test_shell_is_taken_apart(tmp_path: Path) -> None:
    text = (
        "# a comment\n"
        "for i in 1 2; do CUDA_VISIBLE_DEVICES=$i xaiprune search seed=$i > log 2>&1 & done; wait\n"
        "xaiprune search \\\n    'data.classes=[a, b]' prune.rate=0.3 && xaiprune studies | head # list\n"
    )
    found = list(commands(block_of(tmp_path, text)))
    assert [command.words for command in found] == [
        ("xaiprune", "search", "seed=$i"),
        ("xaiprune", "search", "data.classes=[a, b]", "prune.rate=0.3"),
        ("xaiprune", "studies"),
        ("head",),
    ]
    assert found[0].environment == ("CUDA_VISIBLE_DEVICES=$i",)
