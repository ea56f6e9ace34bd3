"""What every objective should fulfil.

class TestMyObjective(ObjectiveSuite):
    objectives = ("mine",)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from xaiprune.config import Config, compose
from xaiprune.data import as_dataset
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS
from xaiprune.registry import OBJECTIVES
from xaiprune.session import PruningSession
from xaiprune.space import search_space
from xaiprune.testing.small_networks import CLASSES, SmallResNet
from xaiprune.trial import (
    Objective,
    Result,
    ScoreCache,
    SearchSetup,
    Stopwatch,
    attributes,
    objective_of,
    run_trial,
)
from xaiprune.units import find_units

_REFERENCE, _VALIDATION, _SIZE = 10, 120, 16
_RATES = "objective.rates=[0.2,0.5]"  # the network is too small for higher ones
# A value for every key of the ``objective`` section that an objective may refuse.
_SETTINGS = {"rates": "[0.3,0.5]", "cost": "macs", "constraints": "['macs <= 0.9']"}


class ObjectiveSuite:
    """Derive a class called ``Test...`` from this and name your objectives, as they are registered.

    Attributes:
        objectives: Names of the objectives to test.
        overrides: Of the configuration, if an objective needs any.
    """

    objectives: ClassVar[Sequence[str]] = ()
    overrides: ClassVar[Sequence[str]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.objectives)

    @pytest.fixture
    def config(self, name: str) -> Config:
        rates = [] if "rates" in OBJECTIVES.find(name).without_effect else [_RATES]
        return self._configured(name, *rates)

    @pytest.fixture
    def objective(self, config: Config) -> Objective:
        return objective_of(config)

    @pytest.fixture
    def setup(self, config: Config, objective: Objective) -> SearchSetup:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(_REFERENCE + _VALIDATION, 3, _SIZE, _SIZE, generator=generator)
        labels = torch.arange(len(pixels)) % CLASSES
        torch.manual_seed(0)
        network = SmallResNet()
        data = as_dataset(
            (pixels[:_REFERENCE], labels[:_REFERENCE]),
            outputs=CLASSES,
            validation=(pixels[_REFERENCE:], labels[_REFERENCE:]),
        )
        units = find_units(network.eval(), "filters", example=pixels[:1])
        session = objective.prepared(PruningSession.of(network, data, units, prune=config.prune))
        space = search_space(session, "depth_groups", rate=0.5, prunes=objective.prunes)
        return SearchSetup(config, session, space, objective)

    def test_it_describes_itself(self, name: str, objective: Objective) -> None:
        assert (OBJECTIVES.find(name).__doc__ or "").partition("\n")[0].endswith(".")
        stored = json.loads(json.dumps(objective.settings()))
        assert stored["name"] == name
        assert objective.value_name(stored)
        best = StudyDirection.MINIMIZE if objective.minimises else StudyDirection.MAXIMIZE
        assert objective.directions[0] is best
        assert len(objective.directions) == 1 + (objective.cost is not None)

    def test_what_has_no_effect_is_refused(self, name: str, objective: Objective) -> None:
        for key in objective.without_effect:
            with pytest.raises(XaipruneError, match=rf"objective\.{key} has no effect"):
                objective_of(self._configured(name, f"objective.{key}={_SETTINGS[key]}"))
        if "rates" not in objective.without_effect:
            with pytest.raises(XaipruneError, match=r"objective\.rates must rise"):
                objective_of(self._configured(name, "objective.rates=[0.5,0.5]"))

    def test_a_trial_has_finite_values_that_repeat(self, setup: SearchSetup) -> None:
        result = _trial(setup, "epsilon", ScoreCache())
        assert result.values is not None
        assert len(result.values) == len(setup.objective.directions)
        assert all(map(math.isfinite, result.values))
        assert result.evaluated > 0
        assert _trial(setup, "epsilon", ScoreCache()).values == result.values
        rate = setup.objective.rate_of(_finished(result), PRESETS["epsilon"], 0.5)
        assert 0 <= rate < 1

    def test_a_stored_trial_is_not_measured_again(self, setup: SearchSetup) -> None:
        cache, watch = ScoreCache(), Stopwatch()
        result = run_trial(setup, PRESETS["zplus"], 0, cache, watch)
        stored = json.loads(json.dumps(attributes(setup, PRESETS["zplus"], result, watch)))
        of_storage = ScoreCache()
        of_storage.add(_finished(result, stored))
        again = _trial(setup, "zplus", of_storage, number=1)
        assert again.values == pytest.approx(result.values)
        assert again.evaluated == 0
        assert again.reused == 0

    def test_a_higher_figure_is_never_a_lower_value(self, objective: Objective) -> None:
        rates = objective.rates or (0.5,)
        low, high = (objective.combine(rates, [figure] * len(rates)) for figure in (0.2, 0.7))
        assert low <= high

    def test_a_race_compares_the_final_value(self, setup: SearchSetup) -> None:
        if not setup.objective.can_race:
            pytest.skip("trials with this objective cannot be compared before they end")
        result = _trial(setup, "epsilon", ScoreCache())
        assert result.values is not None
        rates = [rate for rate, _ in result.scores]
        answers = len(setup.session.validation) * setup.session.validation.answers
        figures = [setup.objective.figure(score, answers) for _, score in result.scores]
        assert setup.objective.combine(rates, figures) == pytest.approx(result.values[0])

    def _configured(self, name: str, *further: str) -> Config:
        return compose("search", [f"objective.name={name}", *self.overrides, *further])


def _trial(setup: SearchSetup, preset: str, cache: ScoreCache, number: int = 0) -> Result:
    return run_trial(setup, PRESETS[preset], number, cache, Stopwatch())


def _finished(result: Result, stored: Mapping[str, Any] | None = None) -> FrozenTrial:
    """As a study would store it, as trial 0."""
    values = list(result.values or ())
    trial = create_trial(state=TrialState.COMPLETE, values=values, user_attrs=dict(stored or {}))
    trial.number = 0
    return trial
