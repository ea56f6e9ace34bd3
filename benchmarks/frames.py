"""Seconds to read a study of many trials into a frame, beside Optuna's own way.

    python -m benchmarks.frames
    python -m benchmarks.frames --trials 2000

The study is made up: as many trials as asked for in a SQLite file, with the parameters of
``space=depth_groups`` and the user attributes that a search over the digits ResNet stores, two kilobytes a
trial. Shown is the median of the repetitions, each with a study that was opened anew (Optuna keeps finished
trials once it has read them).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import insert

from xaiprune.recipe import PRESETS, Recipe
from xaiprune.report import layers, trials

_RULES = CategoricalDistribution(("gradient", "epsilon", "gamma", "zplus", "alphabeta"))
_NUMBERS = {
    "epsilon": FloatDistribution(1e-6, 1, log=True),
    "gamma": FloatDistribution(0.01, 10, log=True),
    "alphabeta": FloatDistribution(1, 3),
}
_DIMENSIONS = {
    "start": CategoricalDistribution(("one", "logit", "contrast")),
    "aggregate": CategoricalDistribution(("abs_of_sum", "signed", "sum_of_abs")),
    "image_weight": CategoricalDistribution(("as_is", "equal", "confidence")),
    "normalize": CategoricalDistribution(("none", "sum", "max", "l2")),
}
_LAYERS = {f"layer{i // 5}.{i % 5}.conv": 16 + 8 * (i // 5) for i in range(21)}


def main() -> None:
    """Make the study, read it in every way, print seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.db"
        url = f"sqlite:///{path}"
        make_study(url, options.trials)
        print(f"{options.trials:,} trials, SQLite of {path.stat().st_size / 2**20:.0f} MiB")
        ways: dict[str, Callable[[optuna.Study], Any]] = {
            "xaiprune.report.trials(study)": trials,
            "xaiprune.report.layers(study)": layers,
            "study.trials_dataframe()": lambda study: study.trials_dataframe(),
        }
        for name, read in ways.items():
            print(f"{name:<31} {median(_seconds(url, read) for _ in range(options.repeat)):6.2f} s")


def _seconds(url: str, read: Callable[[optuna.Study], Any]) -> float:
    study = optuna.load_study(study_name="many", storage=url)
    started = time.perf_counter()
    read(study)
    return time.perf_counter() - started


def make_study(url: str, count: int, seed: int = 0) -> None:
    """Write a made-up study ``many`` of ``count`` trials, by the tables: Optuna's way takes minutes."""
    storage = RDBStorage(url)
    study = optuna.create_study(study_name="many", storage=storage, direction="maximize")
    study.set_user_attr("unit_layers", _LAYERS)
    study.set_user_attr("layers", [])
    study.set_user_attr("fingerprint", {"units": {"found": sum(_LAYERS.values())}})
    draw = random.Random(seed)
    started = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    rows: dict[Any, list[dict[str, Any]]] = {}

    def add(model: Any, **row: Any) -> None:
        rows.setdefault(model, []).append(row)

    for number in range(count):
        trial_id, begun = number + 1, started + timedelta(seconds=number)
        add(
            models.TrialModel,
            trial_id=trial_id,
            number=number,
            study_id=study._study_id,
            state=TrialState.COMPLETE,
            datetime_start=begun,
            datetime_complete=begun + timedelta(seconds=0.8),
        )
        add(
            models.TrialValueModel,
            trial_id=trial_id,
            objective=0,
            value=draw.random(),
            value_type=models.TrialValueModel.TrialValueType.FINITE,
        )
        for name, (value, distribution) in _params(draw).items():
            add(
                models.TrialParamModel,
                trial_id=trial_id,
                param_name=name,
                param_value=value,
                distribution_json=distribution_to_json(distribution),
            )
        for key, value in _attributes(draw).items():
            add(models.TrialUserAttributeModel, trial_id=trial_id, key=key, value_json=json.dumps(value))
    with storage.engine.begin() as connection:
        for model, found in rows.items():
            connection.execute(insert(model.__table__), found)
    storage.engine.dispose()


def _params(draw: random.Random) -> dict[str, tuple[float, Any]]:
    found: dict[str, tuple[float, Any]] = {}
    for part in ("low", "mid", "high", "classifier"):
        rule = draw.randrange(len(_RULES.choices))
        found[f"{part}.rule"] = (rule, _RULES)
        if (number := _NUMBERS.get(str(_RULES.choices[rule]))) is not None:
            name = "alpha" if rule == 4 else str(_RULES.choices[rule])
            found[f"{part}.{name}"] = (draw.uniform(number.low, number.high), number)
    return found | {name: (draw.randrange(len(d.choices)), d) for name, d in _DIMENSIONS.items()}


def _attributes(draw: random.Random) -> dict[str, Any]:
    preset = PRESETS["epsilon_gamma"]
    recipe = Recipe(preset.composite, preset.start, preset.aggregation)
    score = {"rate": 0.7, "plan": f"{draw.getrandbits(64):016x}", "correct": 100, "images": 360}
    score |= {"top1": 0.28, "low": 0.23, "high": 0.33, "chunks": [draw.randrange(50) for _ in range(8)]}
    return {
        "proposal": recipe.to_dict(),
        "key": f"{draw.getrandbits(64):016x}",
        "scores": [score],
        "seconds": {"suggest": 0.08, "attribute": 0.24, "plan": 0.002, "evaluate": 0.12},
        "evaluated": 360,
        "images": 360,
        "kept": {name: draw.randrange(units) for name, units in _LAYERS.items()},
        "worker": {"pid": 1, "host": "somewhere", "born": "-"},
    }


if __name__ == "__main__":
    main()
