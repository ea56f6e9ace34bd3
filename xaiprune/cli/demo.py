"""``xaiprune demo``: handwritten digits, or a language model, by the same tasks that everything else uses."""

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
xaiprune demo: the whole way on handwritten digits or a language model, in minutes

usage: xaiprune demo [study.n_trials=N]
       xaiprune demo language [study.n_trials=N]

Trains two small networks at first use (a ResNet and a ViT), searches a recipe for each in 12 trials after
those of the presets, and compares the best found with presets and baselines on test images. With "language"
it is a small Llama, trained on the help texts of Python: a page shows which tokens it goes by, 30 trials
search a recipe for its neurons, and the comparison is on test windows. A second run resumes, and is done in
seconds. Writes to studies/ in the current folder."""


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        title: What is shown above it.
        task: What is run.
        overrides: What one would type after ``xaiprune TASK``.
        picture: What it writes for people to look at, and what that shows.
    """

    title: str
    task: str
    overrides: tuple[str, ...]
    picture: tuple[Path, str]


def _search(title: str, name: str, *overrides: str) -> Step:
    return Step(
        title,
        "search",
        (*overrides, f"study.name={name}"),
        (Path("studies", name, "curves.png"), "accuracy by rate"),
    )


# At these rates the presets have visibly failed and the search has something to find.
DIGITS = (
    _search(
        "a ResNet, 70 % of its filters removed, no fine-tuning",
        "demo_resnet",
        *("experiment=digits_resnet", "prune.rate=0.7"),
    ),
    _search(
        "a ViT, 98.5 % of its neurons and heads removed, no fine-tuning",
        "demo_vit",
        *("experiment=digits_vit", "prune.rate=0.985"),
    ),
)
_TOKENS = Path("studies", "demo_tokens")
LANGUAGE = (
    Step(
        "the tokens by which a small Llama goes on with a text",
        "attribute",
        (
            "model=help_llama",
            "prompt=The function is called with the arguments, and the",
            "generate=3",
            f"output_dir={_TOKENS}",
        ),
        (_TOKENS / "tokens.html", "tokens in the colour of their relevance"),
    ),
    _search("70 % of its neurons removed, no fine-tuning", "demo_language", "experiment=help_llama"),
)


def main(argv: Sequence[str] = ()) -> int:
    """Run all steps, then say what to try next.

    Args:
        argv: What follows ``xaiprune demo``: ``language`` or nothing, then ``--help`` or
            ``study.n_trials=N``.

    Returns:
        The exit status, 0.

    Raises:
        XaipruneError: Anything else was given.
    """
    if any(argument in ("-h", "--help") for argument in argv):
        print(_HELP)
        return 0
    of_text = argv[:1] == ["language"]
    trials, steps = argv[of_text:], LANGUAGE if of_text else DIGITS
    for argument in trials:
        if not argument.startswith("study.n_trials="):
            raise XaipruneError(
                f"demo takes 'language' and study.n_trials=N only, got '{argument}'; 'xaiprune search' takes "
                "every override"
            )
    started = time.monotonic()
    for number, step in enumerate(steps, start=1):
        overrides = [*step.overrides, *(trials if step.task == "search" else ())]
        print(
            f"\n[{number} of {len(steps)}] {step.title}\n"
            f"$ {shlex.join(['xaiprune', step.task, *overrides])}\n",
            flush=True,
        )
        run_task(step.task, overrides)
    print(f"\n{closing(steps, time.monotonic() - started)}")
    return 0


def closing(steps: Sequence[Step], seconds: float) -> str:
    """What there is to look at, and three commands to try next."""
    command, first = shlex.quote(program()), next(step for step in steps if step.task == "search")
    more, search = shlex.join(first.overrides), f"  {command} search"
    others = [
        f"{search} experiment=digits_vgg prune.rate=0.7",
        "      another network",
        f"{search} model=resnet18 data=image_folder data.root=FOLDER",
        "      your own pictures: FOLDER holds one folder a class (wnids for an ImageNet network)",
    ]
    if steps is LANGUAGE:
        others = [
            f"{search} experiment=help_llama units=heads study.name=heads",
            "      its attention heads",
            f"{search} model=hf model.path=FOLDER data=text data.path=FILE",
            "      your own language model, as transformers saves it, and a file of text",
        ]
    return "\n".join(
        [
            f"Done in {seconds:.0f} s. To look at:",
            *(f"  {path.absolute()}: {what}" for path, what in (step.picture for step in steps)),
            "",
            "To try next:",
            f"{search} {more} study.n_trials={60 if steps is LANGUAGE else 42}",
            "      30 more trials of the same study",
            *others,
        ]
    )


def program() -> str:
    """How this xaiprune is typed: by its name where the shell finds it, else by its path."""
    own = Path(sys.executable).with_name("xaiprune")
    found = shutil.which("xaiprune")
    if not own.is_file() or (found is not None and Path(found).resolve() == own.resolve()):
        return "xaiprune"
    return os.path.relpath(own)
