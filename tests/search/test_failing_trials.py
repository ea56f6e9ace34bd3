"""Trials that fail: with a reason, three in a row at most."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from tests.search.conftest import MakeConfig, few
from xaiprune.attribution import Relevance
from xaiprune.errors import XaipruneError
from xaiprune.session import PruningSession
from xaiprune.study import (
    Ending,
    batch,
    best_trial,
    counts,
    load_study,
    open_search,
    open_study,
    run_trials,
    search,
)
from xaiprune.trial import SearchSetup


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, Exception]]:
    """Trial number -> what goes wrong in it."""
    failures: dict[int, Exception] = {}
    run = batch.run_trial

    def failing(setup: SearchSetup, recipe: Any, number: int, *rest: Any) -> Any:
        if number in failures:
            raise failures[number]
        return run(setup, recipe, number, *rest)

    monkeypatch.setattr(batch, "run_trial", failing)
    return failures


def test_relevance_that_is_not_finite(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = open_search(config(*few(5)))
    relevances = PruningSession.relevances

    def spoiled(self: PruningSession, recipes: Any) -> list[Relevance]:
        found = relevances(self, recipes)
        if recipes[0].composite.name == "zplus":
            next(iter(found[0].sums.values()))[0, 0] = torch.nan
        return found

    monkeypatch.setattr(PruningSession, "relevances", spoiled)
    study = open_study(setup)
    assert run_trials(study, setup) is Ending.COMPLETE
    (failed,) = [trial for trial in study.trials if trial.state is TrialState.FAIL]
    assert failed.user_attrs["preset"] == "zplus"
    assert "relevance is not finite" in failed.user_attrs["reason"]
    assert counts(study).done == 4
    # A preset that failed for a reason is not tried again.
    assert counts(search(config(*few(9)))).failed == 1


def test_three_failures_in_a_row_stop_the_study(config: MakeConfig, broken: dict[int, Exception]) -> None:
    broken |= {1: XaipruneError("one"), 2: RuntimeError("two"), 4: XaipruneError("a"), 5: ValueError("b")}
    broken |= {6: MemoryError("c")}
    with pytest.raises(
        XaipruneError, match=r"3 trials failed in a row, the last one \(trial 6\): MemoryError: c"
    ):
        search(config(*few(20)))
    study = load_study(config())
    reasons = {t.number: t.user_attrs["reason"] for t in study.trials if t.state is TrialState.FAIL}
    assert reasons == {1: "one", 2: "RuntimeError: two", 4: "a", 5: "ValueError: b", 6: "MemoryError: c"}
    assert "failing" in study.trials[2].user_attrs["traceback"]
    broken.clear()
    study = search(config(*few(8)))
    assert counts(study).done == 6
    # What was unexpected may be mended: those presets are tried again, the others are not.
    done = [t.user_attrs.get("preset") for t in study.trials if t.state is TrialState.COMPLETE]
    failed = {n: study.trials[n].user_attrs["preset"] for n in reasons}
    assert {failed[2], failed[5], failed[6]} <= set(done)
    assert not {failed[1], failed[4]} & set(done)


def test_best_of_a_study_with_failures(config: MakeConfig, broken: dict[int, Exception]) -> None:
    broken[0] = XaipruneError("no")
    study = search(config(*few(2)))
    assert best_trial(study).number != 0
