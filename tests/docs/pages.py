"""What README and docs hold for a reader to type: fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("**/*.md")),
]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_FILE = re.compile(r"<!--\s*file:\s*(?P<file>\S+)\s*-->")
_NOT_RUN = re.compile(r"<!--\s*not run:\s*(?P<reason>[^>]*\S)\s*-->")
_OPERATOR = re.compile(r"[();<>|&]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_TYPED = re.compile(r" {4,}\$? *(xaiprune|make|pip|python|createdb|optuna-dashboard) ")
_KEYWORDS = {"do", "then", "else", "time", "nohup"}  # before a command
_NO_COMMANDS = {"for", "while", "until", "if", "done", "fi", "wait", "sleep"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands.
        line: Of its first line of text, from 1.
        language: As the fence says it; empty where it does not.
        text: Without the fences, unindented.
        not_run: Why it is not run: a comment ``<!-- not run: reason -->`` in the line above the fence.
        file: Where a reader has put it: a comment ``<!-- file: own/space/mine.yaml -->`` there.
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None = None
    file: str | None = None

    @property
    def where(self) -> str:
        """``docs/search.md:12``."""
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One simple command of a shell block.

    Attributes:
        block: Where it stands.
        words: Without assignments, redirections and quotes.
        environment: ``NAME=value`` before it.
    """

    block: Block
    words: tuple[str, ...]
    environment: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.block.where}: {shlex.join(self.words)}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, and indented ones that begin with a command, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if _TYPED.match(lines[number]) and not lines[number - 1].strip():
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            found.append(
                Block(page, number + 1, "bash", textwrap.dedent("\n".join(lines[number:end])) + "\n")
            )
            number = end
            continue
        if opening is None:
            number += 1
            continue
        indent = len(opening["indent"])
        end = number + 1
        while end < len(lines) and lines[end].strip() != "```":
            end += 1
        if end == len(lines):
            raise AssertionError(f"{page.name}:{number + 1}: the block has no end")
        above = next((line for line in reversed(lines[:number]) if line.strip()), "")
        marked, named = _NOT_RUN.search(above), _FILE.search(above)
        text = "".join(f"{line[indent:]}\n" for line in lines[number + 1 : end])
        reason = marked["reason"] if marked else None
        found.append(
            Block(page, number + 2, opening["language"], text, reason, named["file"] if named else None)
        )
        number = end + 1
    return found


def commands(block: Block) -> Iterator[Command]:
    """The simple commands of a shell block: loops, pipes and ``&`` taken apart."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            tokens = list(lexer)
        except ValueError as error:
            raise AssertionError(f"{block.where}: cannot read '{line.strip()}' ({error})") from error
        words: list[str] = []
        skip = False
        for token in [*tokens, ";"]:
            if _OPERATOR.fullmatch(token):
                if "<" in token or ">" in token:
                    skip = True  # a file follows
                    if words[-1:] in (["1"], ["2"]):  # 2> log
                        words.pop()
                    continue
                yield from _command(block, words)
                words = []
            elif skip:
                skip = False
            else:
                words.append(token)


def _command(block: Block, words: list[str]) -> Iterator[Command]:
    while words and words[0] in _KEYWORDS:
        words = words[1:]
    environment = []
    while words and _ASSIGNMENT.fullmatch(words[0]):
        environment.append(words[0])
        words = words[1:]
    if words and words[0] not in _NO_COMMANDS:
        yield Command(block, tuple(words), tuple(environment))


def prose(page: Path) -> str:
    """A page without its fenced blocks, and without what is indented as they are."""
    kept, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("```"):
            inside = not inside
        elif not inside and not _TYPED.match(line):
            kept.append(line)
    return "\n".join(kept)
