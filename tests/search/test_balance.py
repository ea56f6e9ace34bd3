"""Factors of layers: what they weigh in the ranking, searched around a known composite."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig
from xaiprune.attribution import Relevance, attribute
from xaiprune.attribution.lrp import save_composite
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PRESETS, Recipe, load_recipe
from xaiprune.space import NotInSpace, params_of
from xaiprune.space.numbers import Range
from xaiprune.study import open_search, recipe_of, search
from xaiprune.trial import SearchSetup

LAYER = "layer2.0.conv1"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """Epsilon, with a factor for a depth group and another for a layer."""
    return save_composite(
        tmp_path / "best.yaml",
        PRESETS["epsilon"].composite,
        provenance={"attribution": {"start": "logit"}, "recipe": {"scale": {"high": 0.5, LAYER: 2.0}}},
    )


def recipe(**scale: float) -> Recipe:
    preset = PRESETS["taylor"]
    return Recipe(preset.composite, preset.start, preset.aggregation, scale=scale)


def test_factors_of_a_layer_and_of_its_group_multiply(cnn: SearchSetup) -> None:
    plain = recipe()
    (relevance,) = cnn.session.relevances([plain])
    first, last = cnn.session.units[0].name, cnn.session.units[-1].name
    before = plain.scores(relevance, cnn.session.units, cnn.session.layers)
    after = recipe(**{"high": 3.0, last: 0.5, first: 7.0}).scores(
        relevance, cnn.session.units, cnn.session.layers
    )
    assert torch.equal(after[last], before[last] * 1.5)
    assert torch.equal(after[first], before[first] * 7.0)
    between = cnn.session.units[1].name
    assert torch.equal(after[between], before[between])


def test_a_factor_of_no_layer_is_refused_before_anything_is_attributed(
    cnn: SearchSetup, config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("attributed")

    monkeypatch.setattr("xaiprune.recipe.ranking.attribute", never)
    with pytest.raises(XaipruneError, match=r"^scale\.hihg: neither a depth group nor .*did you mean 'high'"):
        cnn.session.relevances([replace(recipe(hihg=2.0), start="contrast")])
    with pytest.raises(XaipruneError, match=rf"^space\.scale\.{LAYER}0: neither .*did you mean '{LAYER}'"):
        open_search(config(f"+space.scale={{{LAYER}0: {{low: 0.1, high: 10}}}}"))


def test_each_layer_has_its_factor(config: MakeConfig) -> None:
    setup = open_search(config(f"+space.scale={{each: {{low: 0.5, high: 2}}, {LAYER}: 1.5}}"))
    names = [unit.name for unit in setup.session.units]
    assert set(setup.space.scale) == set(names)
    searched = {name for name in setup.space.searched() if name.startswith("scale.")}
    assert searched == {f"scale.{name}" for name in names if name != LAYER}  # that one has a number
    # In a ranking of each layer by itself they say nothing.
    alone = open_search(config("prune.scope=layer", "+space.scale={each: {low: 0.5, high: 2}}"))
    assert not alone.space.scale


def test_a_balance_keeps_the_rest_of_its_recipe(config: MakeConfig, known: Path) -> None:
    setup = open_search(config("space=balance", f"space.around={known}"))
    names = [unit.name for unit in setup.session.units]
    assert setup.space.searched() == [f"scale.{name}" for name in names]
    centre = setup.space.centre
    assert centre is not None
    assert centre.start == "logit"
    assert centre.scale == {"high": 0.5, **dict.fromkeys(names, 1.0), LAYER: 2.0}
    assert params_of(setup.space, centre) == {
        f"scale.{name}": factor for name, factor in centre.scale.items() if name != "high"
    }
    assert load_recipe(known).scale == {"high": 0.5, LAYER: 2.0}
    assert setup.space.scale[LAYER] == Range(1.2, 3.4, log=True)  # around what it was
    with pytest.raises(NotInSpace, match=r"scale\.high"):
        params_of(setup.space, replace(centre, scale={**centre.scale, "high": 1.0}))


def test_refine_varies_numbers_and_keeps_the_factors(config: MakeConfig, known: Path) -> None:
    space = open_search(config("space=refine", f"space.around={known}", "+space.scale.low=2")).space
    assert space.centre is not None
    assert space.centre.scale == {"low": 2.0, "high": 0.5, LAYER: 2.0}
    assert not [name for name in space.searched() if name.startswith("scale.")]


def test_a_preset_is_known_by_its_name(config: MakeConfig) -> None:
    centre = open_search(config("space=balance", "space.around=taylor")).space.centre
    assert centre is not None
    assert (centre.composite, centre.start) == (PRESETS["taylor"].composite, "logit")
    with pytest.raises(XaipruneError, match=r"tailor"):
        open_search(config("space=balance", "space.around=tailor"))


def test_nothing_to_vary_is_refused(config: MakeConfig, known: Path) -> None:
    with pytest.raises(XaipruneError, match=r"has nothing to vary .*space=balance"):
        open_search(config("space=refine", f"space.around={known}", "space.factor=1"))
    with pytest.raises(XaipruneError, match=r"space\.factor must be 1 or above, got 0\.5"):
        open_search(config("space=refine", f"space.around={known}", "space.factor=0.5"))


@pytest.mark.parametrize("batch", [1, 3])
def test_trials_share_their_relevance(
    config: MakeConfig, known: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass for a whole study of factors; its values are those of trials by themselves."""
    calls: list[int] = []

    def counted(*args: object, **kwargs: object) -> list[Relevance]:
        calls.append(len(args[4]))  # type: ignore[arg-type]
        return attribute(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("xaiprune.recipe.ranking.attribute", counted)
    # With qmc no presets but the centre.
    wanted = ("space=balance", f"space.around={known}", "sampler=qmc", "study.n_trials=6")
    study = search(config(*wanted, f"search.batch={batch}", "prune.rate=0.5"))
    assert calls == [1]
    monkeypatch.undo()
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    assert len({trial.user_attrs["key"] for trial in trials}) == len(trials) == 7
    plain = open_search(config("prune.rate=0.5"))
    for trial in trials[-2:]:
        recipe = recipe_of(trial)
        (relevance,) = plain.session.relevances([recipe])
        plan = plain.session.plan(recipe.scores(relevance, plain.session.units, plain.session.layers), 0.5)
        assert plain.session.accuracy(plain.session.pruned(plan)).top1 == trial.value


def test_many_factors_make_a_short_line() -> None:
    few = recipe(low=0.25, a=2.0).summary()
    assert "scale low 0.25, a 2" in few
    many = recipe(low=0.25, **{f"layer{i}": float(i) for i in range(1, 7)}).summary()
    assert "scale low 0.25, 6 layers by 1 to 6" in many
