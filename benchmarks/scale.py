"""What a study costs beside its trials, by how many it has: ``python -m benchmarks.scale``.

Trials of the digits ResNet's search are proposed, signed, told and stored as ever, but none is attributed
or scored: what is left is the sampler, the storage (a SQLite file) and our bookkeeping. Shown is processor
time a trial, beside that of Optuna alone: the same sampler on the same study, asked for the same parameters
and told the same values.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from xaiprune.config import compose
from xaiprune.recipe import Recipe
from xaiprune.space import suggest
from xaiprune.study import batch, open_search, open_study, run_trials
from xaiprune.study.sampler import make_sampler
from xaiprune.trial import Result, Score, SearchSetup, attributes
from xaiprune.trial.result import Stopwatch

IMAGES, CHUNKS = 300, 6


def invented(setup: SearchSetup, recipe: Recipe, number: int, *_: Any) -> Result:
    """What a trial might have found."""
    random = Random(recipe.key)
    correct = tuple(random.randrange(10, IMAGES // CHUNKS) for _ in range(CHUNKS))
    score = Score(recipe.key, correct, number)
    return Result((score.total / IMAGES,), ((0.5, score),), {}, IMAGES, IMAGES, None)


def fill(study: optuna.Study, setup: SearchSetup, wanted: int) -> None:
    """Add random trials until there are as many as wanted."""
    proposing = optuna.create_study(sampler=RandomSampler(seed=len(study.trials)))
    for number in range(len(study.get_trials(deepcopy=False)), wanted):
        asked = proposing.ask()
        recipe = suggest(asked, setup.space)
        result = invented(setup, recipe, number)
        study.add_trial(
            create_trial(
                values=result.values,
                params=asked.params,
                distributions=asked.distributions,
                user_attrs=attributes(setup, recipe, result, Stopwatch()),
            )
        )


def seconds(work: Callable[[], None], rounds: int) -> list[float]:
    """Processor time of each round."""
    taken = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return taken


@contextmanager
def unscored() -> Iterator[None]:
    """Trials cost nothing but their bookkeeping until the block ends."""
    scored = batch.run_trial
    batch.run_trial = lambda setup, recipe, number, *rest: invented(setup, recipe, number)  # type: ignore[assignment]
    try:
        yield
    finally:
        batch.run_trial = scored


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Processor time a trial, without attribution and scoring.")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    print(f"{'trials':>7} {'ours, ms':>9} {'quartiles':>14} {'Optuna alone, ms':>17} {'ours / Optuna':>14}")
    with tempfile.TemporaryDirectory() as folder, unscored():
        for trials in sorted(arguments.trials):
            measure(Path(folder), trials, arguments.rounds)


def measure(folder: Path, trials: int, rounds: int) -> None:
    """One row of the table."""

    def opened(wanted: int) -> tuple[optuna.Study, SearchSetup]:
        settings = ["model=digits_resnet", "study.name=scale", f"study.storage=sqlite:///{folder}/scale.db"]
        setup = open_search(compose("search", [*settings, f"study.n_trials={wanted}", "device=cpu"]))
        return open_study(setup), setup

    study, setup = opened(1)
    run_trials(study, setup)  # presets
    fill(study, setup, trials)
    sampled = sum("preset" not in t.user_attrs for t in study.get_trials(deepcopy=False))
    ended: list[float] = []
    study, setup = opened(sampled + rounds + 1)
    run_trials(study, setup, lambda *_: ended.append(time.process_time()))
    ours = np.diff(ended)

    def alone() -> None:
        study.sampler = make_sampler(setup.config.sampler, setup.space, 0, trials)
        study.sampler = getattr(study.sampler, "_sampler", study.sampler)
        trial = study.ask()
        recipe = suggest(trial, setup.space)
        study.tell(trial, invented(setup, recipe, trial.number).values, state=TrialState.COMPLETE)

    optuna_alone = seconds(alone, rounds)
    low, middle, high = 1e3 * np.percentile(ours, (25, 50, 75))
    other = 1e3 * float(np.median(optuna_alone))
    spread = f"{low:.0f} to {high:.0f}"
    print(f"{trials:7} {middle:9.0f} {spread:>14} {other:17.0f} {middle / other:14.2f}", flush=True)


if __name__ == "__main__":
    main()
