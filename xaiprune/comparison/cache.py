"""Measurements on the test split, kept on disk, so that an interrupted comparison continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xaiprune.files import replacing

NAME = "measured.jsonl"
FOLDER = ".cache"


def cache_folder(folder: Path) -> Path:
    """``.cache`` in a study's folder; figures that an earlier version kept beside it are moved there."""
    cache, former = folder / FOLDER, folder / NAME
    if former.is_file() and not (cache / NAME).is_file():
        cache.mkdir(exist_ok=True)
        former.replace(cache / NAME)
    return cache


class ResultCache:
    """Figures by plan, appended to a file as they are measured.

    Args:
        folder: Gets ``measured.jsonl``.
        key: Of network, images and settings; figures of others are dropped.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / NAME
        self._figures = _read(self._path, key)
        # Written anew: the next figures must not be appended to an incomplete line.
        lines = [_line(*place, figures) for place, figures in self._figures.items()]
        with replacing(self._path) as path:
            path.write_text("".join([json.dumps({"key": key}) + "\n", *lines]), encoding="utf-8")

    def get(self, plan: str, images: int) -> dict[str, Any] | None:
        """Figures of the plan (its hash) on that many images, if they are cached."""
        return self._figures.get((plan, images))

    def add(self, plan: str, images: int, figures: dict[str, Any]) -> None:
        """Store figures, in memory and in the file."""
        self._figures[plan, images] = figures
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(plan, images, figures))


def _line(plan: str, images: int, figures: dict[str, Any]) -> str:
    return json.dumps({"plan": plan, "images": images, **figures}) + "\n"


def _read(path: Path, key: str) -> dict[tuple[str, int], dict[str, Any]]:
    """Figures of an earlier run with the same key; an incomplete last line is dropped."""
    if not path.is_file():
        return {}
    figures = {}
    head, *lines = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
    if head != json.dumps({"key": key}):
        return {}
    for line in lines:
        entry = json.loads(line)
        figures[entry.pop("plan"), entry.pop("images")] = entry
    return figures
