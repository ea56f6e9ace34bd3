"""Figures of the proof as CSV: what a stopped run had measured is there for the next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from filelock import FileLock

from benchmarks.proof.cases import RESULTS, Case
from xaiprune.comparison.evaluator import short_hash
from xaiprune.files import replacing
from xaiprune.recipe import PRESETS, RENAMED_PRESETS, Recipe
from xaiprune.study import versions


class Named(Protocol):
    """What the rows of a table belong to."""

    @property
    def name(self) -> str:
        """As the rows have it."""


class Table:
    """A CSV file of one part, with what it is and what it was made with in comment lines above.

    Args:
        name: Of the file, without suffix.
        about: One line: what the rows are, of which images.
        folder: Where it lies; None: docs/results.
        package: Whose command makes it.
    """

    def __init__(
        self, name: str, about: str, folder: Path | None = None, package: str = "benchmarks.proof"
    ) -> None:
        self._folder = RESULTS if folder is None else folder
        self.path = self._folder / f"{name}.csv"
        self._name, self._about, self._package = name, about, package
        self.frame = read(name, self._folder)

    def has(self, case: Named, seed: int, of: str) -> bool:
        """Whether the rows of a case and seed are there, made of the same (`made_of`)."""
        return bool(self.rows(case, seed, of))

    def rows(self, case: Named, seed: int, of: str) -> list[dict[str, Any]]:
        """Those of a case and seed that are made of the same, for a part that was stopped to go on from."""
        rows = self.frame
        if not len(rows):
            return []
        own = rows[(rows.case == case.name) & (rows.seed == seed) & (rows.of == of)]
        return [{str(key): value for key, value in row.items()} for row in own.to_dict("records")]

    def replace(self, case: Named, seed: int, of: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put rows in the place of those of the same case and seed, and write the file."""
        new = pd.DataFrame([{"case": case.name, "seed": seed, **row, "of": of} for row in rows])
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):  # another run may add to it, too
            old = read(self._name, self._folder)
            if len(old):
                old = old[(old.case != case.name) | (old.seed != seed)]
            frame = pd.concat([old, new], ignore_index=True) if len(old) else new
            self.frame = frame.sort_values(["case", "seed"], kind="stable", ignore_index=True)
            with replacing(self.path) as path:
                path.write_text(self._head() + self.frame.to_csv(index=False), encoding="utf-8")

    def _head(self) -> str:
        made = ", ".join(f"{key} {value}" for key, value in versions().items() if value)
        command = f"python -m {self._package} {self._name}"
        return (
            f"# {self._about}\n# {command}; last written with {made}, {torch.get_num_threads()} CPU threads\n"
        )


# The presets by the names that the tables were first made with.
PRESET_NAMES = [{new: old for old, new in RENAMED_PRESETS.items()}.get(name, name) for name in PRESETS]
# Of a case, what most parts do not depend on; the others name it.
_ASIDE = ("title", "trials", "seeds", "half_rate", "compensated_rate", "compensation")


def read(name: str, folder: Path | None = None) -> pd.DataFrame:
    """The rows of a part; empty where it was never measured."""
    path = (RESULTS if folder is None else folder) / f"{name}.csv"
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path, comment="#", dtype={"of": str, "of_presets": str})  # hashes, of digits or not


def made_of(*things: Any) -> str:
    """A short text that changes with anything the rows are made of: recipes, rates, names."""
    return short_hash({"of": [_plain(thing) for thing in things]})


def _plain(thing: Any) -> Any:
    if isinstance(thing, Recipe):
        return thing.key
    if isinstance(thing, Case):
        # How long it is searched says nothing: what was found does.
        return {k: v for k, v in asdict(thing).items() if k not in _ASIDE}
    if isinstance(thing, dict):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(one) for one in thing]
    return json.loads(json.dumps(thing))
