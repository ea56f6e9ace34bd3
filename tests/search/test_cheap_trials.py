"""Trials that are asked for together, raced, reused; compensated and smaller networks in trials."""

from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution import Relevance
from xaiprune.data.images import CHUNK
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, accuracy
from xaiprune.pruning import compensate, masked
from xaiprune.recipe import PRESETS
from xaiprune.session import Caches, PruningSession
from xaiprune.study import Ending, best_trial, counts, open_search, open_study, recipe_of, run_trials, search
from xaiprune.study.threads import fitting_threads
from xaiprune.trial import ScoreCache, SearchSetup, Stopwatch, run_trial, saved


def values(study: optuna.Study) -> list[tuple[dict[str, Any], float | None]]:
    return [(trial.params, trial.value) for trial in study.trials]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recipes each attribution had."""
    calls: list[int] = []
    relevances = PruningSession.relevances

    def counted(self: PruningSession, recipes: Any) -> list[Relevance]:
        calls.append(len(recipes))
        return relevances(self, recipes)

    monkeypatch.setattr(PruningSession, "relevances", counted)
    return calls


def test_trials_asked_together_share_a_forward(config: MakeConfig, forwards: list[int]) -> None:
    study = search(config(*few(10), "search.batch=4"))
    assert counts(study).done == 10
    # The tenth is alone; presets that mean the same are attributed once.
    assert len(forwards) == 3
    assert max(forwards) <= 4
    assert sum(forwards) == len({trial.user_attrs["key"] for trial in study.trials})
    # Nothing but the order of asking has changed: each value is what the recipe has by itself.
    setup = open_search(config())
    for trial in study.trials[:5]:
        alone = run_trial(setup, recipe_of(trial), 99, ScoreCache(), Stopwatch())
        assert alone.values == (trial.value,)


def test_same_seed_same_study_in_batches(config: MakeConfig, tmp_path: Any) -> None:
    one = search(config(*few(14), "search.batch=3", f"study.storage=sqlite:///{tmp_path}/one.db"))
    two = search(config(*few(14), "search.batch=3", f"study.storage=sqlite:///{tmp_path}/two.db"))
    assert values(one) == values(two)


def test_one_bad_recipe_does_not_spoil_its_batch(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    relevances = PruningSession.relevances

    def broken(self: PruningSession, recipes: Any) -> list[Relevance]:
        if any(recipe.composite.name == "zplus" for recipe in recipes):
            raise ValueError("zplus is broken")
        return relevances(self, recipes)

    monkeypatch.setattr(PruningSession, "relevances", broken)
    study = search(config(*few(6), "search.batch=6"))
    (failed,) = [trial for trial in study.trials if trial.state is TrialState.FAIL]
    assert failed.user_attrs["preset"] == "zplus"
    assert failed.user_attrs["reason"] == "ValueError: zplus is broken"
    assert counts(study).done == 5


@pytest.mark.parametrize("batch", [1, 3])
def test_memory_runs_out(config: MakeConfig, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    relevances = PruningSession.relevances
    sizes: list[int] = []

    def hungry(self: PruningSession, recipes: Any) -> list[Relevance]:
        sizes.append(self.batch.attribution)
        if sizes[-1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return relevances(self, recipes)

    monkeypatch.setattr(PruningSession, "relevances", hungry)
    overrides = (*few(5), f"search.batch={batch}", "attribution.batch_size=10")
    study = search(config(*overrides))
    assert sizes[0] == 10
    assert set(sizes[1:]) == {5}  # halved once, the trial tried again, and so on with less
    assert counts(study).done == 5
    assert counts(study).failed == 0


def test_memory_runs_out_for_good(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(self: PruningSession, recipes: Any) -> list[Relevance]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PruningSession, "relevances", hungry)
    with pytest.raises(
        XaipruneError, match=r"3 trials failed in a row.*OutOfMemoryError: CUDA out of memory"
    ):
        search(config(*few(5)))


MANY_IMAGES = ("data.validation_per_class=30", *few(16))  # 300 images: 6 chunks


@pytest.mark.parametrize("pruner", ["auto", "wilcoxon", "median", "hyperband"])
def test_racing_stops_hopeless_trials(
    config: MakeConfig, pruner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = {"zplus": 0.0, "taylor": 0.9}
    correct = PruningSession.accuracy

    def ranked(self: PruningSession, pruned: Any = None, images: Any = None, **options: Any) -> Any:
        """Untrained networks are all equally bad; these have clear winners and losers."""
        found = correct(self, pruned, images, **options)
        share = (
            0.9 if pruned is None else quality.setdefault(str(pruned.mask), 0.9 - 0.1 * (len(quality) % 9))
        )
        return Accuracy.of(torch.arange(found.total).numpy() < share * found.total)

    monkeypatch.setattr(PruningSession, "accuracy", ranked)
    study = search(
        config(
            *MANY_IMAGES,
            f"pruner={pruner}",
            "pruner.n_startup_steps=2"[: 99 * (pruner in ("auto", "wilcoxon"))] or "seed=0",
        )
    )
    stopped = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    whole = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert stopped
    assert counts(study).done == 16
    for trial in stopped:
        (score,) = trial.user_attrs["scores"]
        assert score["images"] == CHUNK * len(score["chunks"]) < 300
        assert score["correct"] == sum(score["chunks"])
    assert all(trial.user_attrs["scores"][0]["images"] == 300 for trial in whole)
    assert max(t.value for t in whole) == study.best_value == best_trial(study).value
    spared, of = saved(study)
    seen = sum(trial.user_attrs["evaluated"] for trial in study.trials)
    assert 0 < spared < of == spared + seen


def test_a_stopped_plan_goes_on_where_it_was(config: MakeConfig) -> None:
    setup = open_search(config(*MANY_IMAGES))

    class Impatient:
        def stops(self, step: int, chunk: float, running: float) -> bool:
            return step == 1

    known = ScoreCache()
    stopped = run_trial(setup, PRESETS["taylor"], 3, known, Stopwatch(), race=Impatient())  # type: ignore[arg-type]
    assert (stopped.values, stopped.evaluated, stopped.wanted) == (None, 100, 300)
    rest = run_trial(setup, PRESETS["epsilon_logit"], 4, known, Stopwatch())  # removes the same units
    assert rest.evaluated == 200
    assert rest.values == run_trial(setup, PRESETS["taylor"], 5, ScoreCache(), Stopwatch()).values
    again = run_trial(setup, PRESETS["taylor"], 6, known, Stopwatch(), race=Impatient())  # type: ignore[arg-type]
    assert (again.values, again.evaluated, again.reused) == (None, 0, 4)
    assert again.scores[0][1].correct == stopped.scores[0][1].correct


@pytest.mark.parametrize("override", ["objective.cost=macs", "objective=max_rate_at_drop"])
def test_what_cannot_race_says_so(config: MakeConfig, override: str) -> None:
    with pytest.raises(XaipruneError, match=r"cannot race.*set pruner=auto or none"):
        open_search(config(override, "pruner=wilcoxon"))


@pytest.mark.parametrize("how", ["mean", "linear"])
def test_compensation_in_a_trial(config: MakeConfig, how: str) -> None:
    overrides = ("units=inner_filters", "data.reference_per_class=2", "prune.rate=0.4")
    setup = open_search(config(*overrides, f"prune.compensate={how}", "prune.sequential=false"))
    plain = open_search(config(*overrides))
    found = run_trial(setup, PRESETS["taylor"], 0, ScoreCache(), Stopwatch())
    (relevance,) = plain.session.relevances([PRESETS["taylor"]])
    from xaiprune.attribution import aggregate

    plan = plain.session.plan(aggregate(relevance, PRESETS["taylor"].aggregation), 0.4)
    new = compensate(
        plain.session.model,
        plan,
        plain.session.units,
        plain.session.reference_images,
        how,
        sequential=False,
        statistics=plain.session.dense.statistics,
    )
    with masked(new, plan, plain.session.units):
        by_hand = accuracy(new, plain.session.validation, plain.session.task).top1
    assert found.values == (pytest.approx(by_hand),)
    assert found.scores[0][1].plan.endswith(f"{how} at once")
    study = open_study(plain)
    assert run_trials(study, plain) is Ending.COMPLETE
    with pytest.raises(XaipruneError, match=r"prune\.compensate was unset, now"):
        open_study(setup)


@pytest.mark.parametrize("units", ["filters", "inner_filters"])
def test_smaller_networks_answer_as_masked_ones(
    config: MakeConfig, monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    setup = open_search(config(f"units={units}"))
    masked_one = run_trial(setup, PRESETS["taylor"], 0, ScoreCache(), Stopwatch())
    monkeypatch.setattr("xaiprune.session.session._WORTH_REMOVING", 0)
    smaller = run_trial(setup, PRESETS["taylor"], 0, ScoreCache(), Stopwatch())
    assert smaller.scores == masked_one.scores


def test_reference_images_a_trial_asks_for(cnn: SearchSetup) -> None:
    from dataclasses import replace

    more = replace(
        cnn.session,
        dense=replace(cnn.session.dense, images=cnn.session.validation.tensor()),
        dataset=replace(cnn.session.dataset, reference=cnn.session.validation),
        caches=Caches(),
    )
    few, many = replace(PRESETS["taylor"], references=1), PRESETS["taylor"]
    one, all_, again = more.relevances([few, many, few])
    assert [len(next(iter(r.sums.values()))) for r in (one, all_, again)] == [10, 40, 10]
    first = [int((more.dataset.reference.labels == label).nonzero()[0]) for label in range(10)]
    name = next(iter(one.sums))
    torch.testing.assert_close(one.sums[name], all_.sums[name][sorted(first)], rtol=1e-4, atol=1e-6)


def test_a_small_network_runs_in_one_thread(cnn: SearchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[int] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    monkeypatch.setattr("torch.set_num_threads", set_to.append)
    with fitting_threads(cnn.session, None):
        assert set_to == [1]
    with fitting_threads(cnn.session, 3):
        pass
    monkeypatch.setattr("xaiprune.study.threads._SMALL", cnn.session.dense.cost().macs)
    with fitting_threads(cnn.session, None):
        pass
    assert set_to == [1, 7, 7, 7]


def test_every_dimension_reaches_the_measurement(config: MakeConfig) -> None:
    """A trial's value is that of its stored recipe in a search that has none of the dimensions."""
    dimensions = (
        "+space.scope=[global,layer]",
        "+space.references=[1,2]",
        "+space.compensate=[none,mean]",
        "+space.order=[score,joint]",
        "+space.scale={low:{low:0.1,high:10,log:true}}",
    )
    common = ("units=inner_filters", "data.reference_per_class=2", "sampler=random", *few(28))
    study = search(config(*common, *dimensions))
    plain = open_search(config(*common))
    asked: set[Any] = set()
    for trial in study.get_trials(states=(TrialState.COMPLETE,)):
        recipe = recipe_of(trial)
        assert run_trial(plain, recipe, 99, ScoreCache(), Stopwatch()).values == (trial.value,)
        asked |= {("scope", recipe.scope), ("references", recipe.references)}
        asked |= {("compensate", recipe.compensate), ("order", recipe.order)}
        asked.add(("scaled", bool(recipe.scale)))
    assert asked >= {("scope", "layer"), ("references", 1), ("compensate", "mean"), ("scaled", True)}
    assert asked >= {("order", "score"), ("order", "joint")}


def test_a_searched_rate_beside_a_cost(config: MakeConfig) -> None:
    rate = "+space.rate={low:0.1,high:0.9}"
    with pytest.raises(XaipruneError, match=r"space\.rate searches the rate.*objective\.cost=macs"):
        open_search(config(rate))
    with pytest.raises(XaipruneError, match=r"space\.rate searches the rate, and so does"):
        open_search(config(rate, "objective.cost=macs", "objective.rates=[0.1,0.2]"))
    study = search(config(rate, "units=inner_filters", "objective.cost=params", *few(14)))
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    assert len({trial.user_attrs["scores"][0]["rate"] for trial in finished}) > 5
    costs = [trial.values[1] for trial in finished]
    assert max(costs) - min(costs) > 0.2
