"""A study as a search leaves it, with made-up figures: no network is opened."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from xaiprune.attribution import Aggregation, Composite
from xaiprune.attribution.lrp.composite import Match, make_rule
from xaiprune.config import compose
from xaiprune.recipe import Recipe
from xaiprune.report.page import Findings, read_findings
from xaiprune.storage import quiet
from xaiprune.study import RUNS, SCHEMA, versions
from xaiprune.study.notes import LAYERS, UNITS, run_note

LAYER_NAMES = ("conv1", "layer1.conv", "layer2.conv", "layer3.conv", "fc")
RULES = ("gradient", "epsilon", "gamma", "zplus")
GROUPS = ("low", "mid", "high", "classifier")
TYPED = ("model=digits_resnet", "prune.rate=0.5", "study.name=made_up", "study.n_trials=30")


def make(
    trials: int = 30,
    *,
    cost: str | None = None,
    failed: int = 2,
    noted: bool = True,
    storage: str | None = None,
    name: str = "made_up",
) -> optuna.Study:
    """A study of so many finished trials; the first is the Taylor preset, the second removes what it does.

    Args:
        trials: Finished ones.
        cost: Of a second objective.
        failed: Further trials, that failed.
        noted: Whether layers and settings are noted with it, as searches do now.
        storage: None: in memory.
        name: Of the study.
    """
    directions = ["maximize", "minimize"] if cost else ["maximize"]
    with quiet():
        study = optuna.create_study(
            study_name=name, storage=storage, directions=directions, sampler=RandomSampler(seed=0)
        )
        _describe(study, cost, noted)
        draw = np.random.default_rng(0)
        for number in range(trials):
            _finish(study, study.ask(), number, cost, draw)
        for _ in range(failed):
            trial = study.ask()
            trial.set_user_attr("reason", "layer1.conv: relevance is not finite <script>alert(1)</script>")
            study.tell(trial, state=TrialState.FAIL)
    return study


def findings(folder: Path, study: optuna.Study | None = None) -> Findings:
    """What a report shows of a made-up study, with the files of a folder."""
    return read_findings(make() if study is None else study, "sqlite:///studies/made_up.db", folder)


def _describe(study: optuna.Study, cost: str | None, noted: bool) -> None:
    config = compose("search", TYPED)
    study.set_user_attr("schema", SCHEMA)
    study.set_user_attr(
        "fingerprint",
        {
            "model": {"name": "digits_resnet", "weights": "5da3355f8eb97cc6"},
            "data": {"classes": ["0", "1"], "logits": None, "validation": "200 images (75bf81e8b4d93ca0)"},
            "units": {"kind": "filters", "include": [], "exclude": ["fc"], "found": 64},
            "prune": {"rate": 0.5, "budget": "units", "scope": "global", "floor": 1},
            "objective": {"name": "top1_at_rate", "rates": [0.5], **({"cost": cost} if cost else {})},
            "space": config.space,
            "attribution": {},
        },
    )
    study.set_user_attr("versions", [versions()])
    study.set_user_attr("dense", {"correct": 190, "images": 200, "top1": 0.95})
    if noted:
        layers = [
            {"name": layer, "type": "conv", "depth": place / 4, "classifier": layer == "fc"}
            for place, layer in enumerate(LAYER_NAMES)
        ]
        study.set_user_attr(LAYERS, layers)
        study.set_user_attr(UNITS, dict.fromkeys(LAYER_NAMES[:-1], 16))
        study.set_user_attr(RUNS, [run_note(config, "cpu", None) | {"overrides": list(TYPED)}])


def _finish(
    study: optuna.Study, trial: optuna.Trial, number: int, cost: str | None, draw: np.random.Generator
) -> None:
    rules = {group: trial.suggest_categorical(f"{group}.rule", RULES) for group in GROUPS}
    start = trial.suggest_categorical("start", ("one", "logit"))
    entries = []
    for group, rule in rules.items():
        settings: dict[str, float] = {}
        if rule in ("epsilon", "gamma"):
            low = 1e-6 if rule == "epsilon" else 0.01
            settings[rule] = trial.suggest_float(f"{group}.{rule}", low, 10, log=True)
        made = make_rule("epsilon", epsilon=0) if rule == "gradient" else make_rule(rule, **settings)
        entries.append((Match(groups=(group,)), made))
    recipe = Recipe(Composite(layers=tuple(entries)), start, Aggregation())
    better = 60 * (rules["mid"] == "gradient") + 20 * (start == "logit")
    correct = int(60 + better + draw.integers(0, 40))
    top1 = correct / 200
    score: dict[str, Any] = {"rate": 0.5, "plan": f"p{number}", "correct": correct, "images": 200}
    score |= {"top1": top1, "low": top1 - 0.06, "high": top1 + 0.06, "chunks": [correct]}
    spent = dict(zip(("suggest", "attribute", "plan", "evaluate"), (0.01, 0.3, 0.002, 0.1), strict=True))
    attrs: dict[str, Any] = {
        "proposal": recipe.to_dict(),
        "key": recipe.key,
        "seconds": spent,
        "evaluated": 200,
        "images": 200,
        "kept": {
            name: int(kept) for name, kept in zip(LAYER_NAMES[:-1], draw.integers(1, 16, 4), strict=True)
        },
    }
    if number == 0:
        attrs["preset"] = "taylor"
    if number == 1:
        attrs["reused_from"] = 0
    values = (top1,)
    if cost is not None:
        part = float(draw.uniform(0.2, 0.9))
        score["cost"], values = {cost: part}, (top1, part)
    for key, value in itertools.chain(attrs.items(), [("scores", [score])]):
        trial.set_user_attr(key, value)
    study.tell(trial, values)
