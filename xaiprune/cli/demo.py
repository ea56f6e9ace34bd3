"""``xaiprune demo``: two studies on handwritten digits, by the same search task that everything else uses."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xaiprune.cli.common.application import run_task
from xaiprune.errors import XaipruneError

_HELP = """\
xaiprune demo: the whole way on handwritten digits, in minutes

usage: xaiprune demo [study.n_trials=N]

Trains two small networks at first use (a ResNet and a ViT), searches a recipe for each in 12 trials after
those of the presets, and compares the best found with presets and baselines on test images. A second run
resumes, and is done in seconds. Writes to studies/ in the current folder."""


@dataclass(frozen=True)
class Study:
    """One of the demo's studies.

    Attributes:
        title: What is shown above it.
        overrides: What one would type after ``xaiprune search``.
        name: Of the study.
    """

    title: str
    overrides: tuple[str, ...]
    name: str

    @property
    def folder(self) -> Path:
        """Where the search task puts what it finds."""
        return Path("studies") / self.name


# At these rates the presets have visibly failed and the search has something to find.
STUDIES = (
    Study(
        "a ResNet, 70 % of its filters removed, no fine-tuning",
        ("experiment=digits_resnet", "prune.rate=0.7", "study.name=demo_resnet"),
        "demo_resnet",
    ),
    Study(
        "a ViT, 98.5 % of its neurons and heads removed, no fine-tuning",
        ("experiment=digits_vit", "prune.rate=0.985", "study.name=demo_vit"),
        "demo_vit",
    ),
)


def main(argv: Sequence[str] = ()) -> int:
    """Run both studies, then say what to try next.

    Args:
        argv: What follows ``xaiprune demo``: nothing, ``--help`` or ``study.n_trials=N``.

    Returns:
        The exit status, 0.

    Raises:
        XaipruneError: Anything else was given.
    """
    if any(argument in ("-h", "--help") for argument in argv):
        print(_HELP)
        return 0
    for argument in argv:
        if not argument.startswith("study.n_trials="):
            raise XaipruneError(
                f"demo takes study.n_trials=N only, got '{argument}'; 'xaiprune search' takes every override"
            )
    started = time.monotonic()
    for number, study in enumerate(STUDIES, start=1):
        overrides = [*study.overrides, *argv]
        print(
            f"\n[{number} of {len(STUDIES)}] {study.title}\n"
            f"$ {shlex.join(['xaiprune', 'search', *overrides])}\n",
            flush=True,
        )
        run_task("search", overrides)
    print(f"\n{closing(time.monotonic() - started)}")
    return 0


def closing(seconds: float) -> str:
    """Where the pictures are, and three commands to try next."""
    command, resnet = shlex.quote(program()), shlex.join(STUDIES[0].overrides)
    return "\n".join(
        [
            f"Done in {seconds:.0f} s. Accuracy by rate, as pictures:",
            *(f"  {(study.folder / 'curves.png').absolute()}" for study in STUDIES),
            "",
            "To try next:",
            f"  {command} search {resnet} study.n_trials=42",
            "      30 more trials of the first study",
            f"  {command} search experiment=digits_vgg prune.rate=0.7",
            "      another network",
            f"  {command} search model=resnet18 data=image_folder data.root=FOLDER",
            "      your own pictures: FOLDER holds one folder a class (wnids for an ImageNet network)",
        ]
    )


def program() -> str:
    """How this xaiprune is typed: by its name where the shell finds it, else by its path."""
    own = Path(sys.executable).with_name("xaiprune")
    found = shutil.which("xaiprune")
    if not own.is_file() or (found is not None and Path(found).resolve() == own.resolve()):
        return "xaiprune"
    return os.path.relpath(own)
