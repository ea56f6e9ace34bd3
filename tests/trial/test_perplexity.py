"""Perplexity as the objective: lower is better, everywhere that trials are ordered."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from optuna.study import StudyDirection
from transformers import LlamaConfig, LlamaForCausalLM

from xaiprune.config import compose
from xaiprune.data import as_dataset, text_dataset
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import TokenAccuracy
from xaiprune.recipe import PRESETS
from xaiprune.session import PruningSession
from xaiprune.space import search_space
from xaiprune.study import best_trial, distinct_trials, value_text
from xaiprune.trial import ScoreCache, SearchSetup, Stopwatch, attributes, objective_of, run_trial
from xaiprune.units import find_units

VOCABULARY, WINDOW = 32, 9


@pytest.fixture(scope="module")
def setup() -> SearchSetup:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **sizes)).eval()
    ids = torch.randint(VOCABULARY, (WINDOW * 40,), generator=torch.Generator().manual_seed(1))
    data = text_dataset(ids, WINDOW, VOCABULARY)
    units = find_units(network, "neurons", example=data.reference.tensor(slice(0, 1)))
    config = compose("search", ["objective=perplexity", "objective.rates=[0.25,0.5]"])
    objective = objective_of(config)
    session = objective.prepared(PruningSession.of(network, data, units, unit_kind="neurons"))
    return SearchSetup(config, session, search_space(session, "depth_groups", rate=0.5), objective)


def test_the_value_is_the_mean_perplexity(setup: SearchSetup) -> None:
    recipe = replace(PRESETS["taylor"], compensate="none")
    result = run_trial(setup, recipe, 0, ScoreCache(), Stopwatch())
    session = setup.session
    found = [
        session.accuracy(session.under(recipe).pruned(session.plan_for(recipe, rate)), session.validation)
        for rate in (0.25, 0.5)
    ]
    assert all(isinstance(one, TokenAccuracy) for one in found)
    perplexities = [one.perplexity for one in found if isinstance(one, TokenAccuracy)]
    assert result.values == (pytest.approx(sum(perplexities) / 2, rel=1e-5),)
    stored = attributes(setup, recipe, result, Stopwatch())
    assert stored["measure"] == "perplexity"
    for score, one in zip(stored["scores"], found, strict=True):
        assert score["top1"] == pytest.approx(one.top1)
        assert score["perplexity_low"] < score["perplexity"] < score["perplexity_high"]


def test_the_lowest_is_the_best(setup: SearchSetup) -> None:
    assert setup.objective.directions == [StudyDirection.MINIMIZE]
    study = optuna.create_study(directions=setup.objective.directions)
    for value, plan in ((9.0, "a"), (7.5, "b"), (8.0, "c")):
        attrs = {"scores": [{"plan": plan}], "measure": "perplexity", "key": plan}
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs=attrs))
    assert best_trial(study).number == 1
    assert [trial.number for trial in distinct_trials(study, 2)] == [1, 2]
    assert value_text(best_trial(study)) == "7.50"


def test_a_part_of_the_windows_is_measured_by_itself(setup: SearchSetup) -> None:
    from xaiprune.trial.cache import Score

    score = Score("plan", (1, 2, 3), 0, loss=(8.0, 16.0, 24.0))
    assert setup.objective.figure(score.part(1, 2), 8) == pytest.approx(math.exp(2))
    assert setup.objective.figure(score, 24) == pytest.approx(math.exp(2))


def test_images_have_none(setup: SearchSetup, tmp_path: Path) -> None:
    images = (torch.randn(4, 3, 8, 8), torch.arange(4))
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 4)
    ).eval()
    data = as_dataset(images, outputs=4, validation=images)
    units = find_units(network, "filters", example=images[0][:1])
    session = PruningSession.of(network, data, units)
    with pytest.raises(XaipruneError, match="objective=perplexity is of next tokens"):
        setup.objective.prepared(session)
