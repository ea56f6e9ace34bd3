"""A comparison of text: perplexity beside top-1, intervals and paired tests by window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from transformers import LlamaConfig, LlamaForCausalLM

from xaiprune.comparison import Comparison, compare_on_test, load, summary
from xaiprune.config import PruneConfig
from xaiprune.data import text_dataset
from xaiprune.evaluation import TokenAccuracy, paired
from xaiprune.recipe import PRESETS
from xaiprune.session import PruningSession
from xaiprune.units import find_units

VOCABULARY, WINDOW = 32, 9


@pytest.fixture(scope="module")
def session() -> PruningSession:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    network = LlamaForCausalLM(config).eval()
    ids = torch.randint(VOCABULARY, (WINDOW * 40,), generator=torch.Generator().manual_seed(1))
    data = text_dataset(ids, WINDOW, VOCABULARY)
    units = find_units(network, "neurons", example=data.reference.tensor(slice(0, 1)))
    return PruningSession.of(network, data, units, unit_kind="neurons", prune=PruneConfig(rate=0.5))


def compared(session: PruningSession, folder: Path) -> Comparison:
    return compare_on_test(
        session,
        PRESETS["taylor"],
        folder,
        rates=(0.0, 0.5),
        presets=[],
        criteria=["magnitude_l1"],
        seeds=1,
        peers=["flap", "wanda"],
    )


def test_both_measures_are_those_of_the_smaller_network(session: PruningSession, tmp_path: Path) -> None:
    comparison = compared(session, tmp_path)
    assert (comparison.noun, comparison.window, comparison.measure) == ("window", WINDOW, "next-token top-1")
    plan = session.plan(session.scores(PRESETS["taylor"]), 0.5)
    found = session.accuracy(session.remove(plan).model, session.dataset.test)
    assert isinstance(found, TokenAccuracy)
    row = summary(comparison).set_index("method").loc[comparison.best]
    assert row.top1 == pytest.approx(found.top1)
    assert row.perplexity == pytest.approx(found.perplexity, rel=1e-4)
    assert (row.perplexity_low, row.perplexity_high) == pytest.approx(found.perplexity_interval(), rel=1e-4)
    again = load(tmp_path)
    assert again is not None
    assert again.frame.perplexity.tolist() == pytest.approx(comparison.frame.perplexity.tolist())
    assert (again.noun, again.window) == ("window", WINDOW)
    assert again.against_perplexity == comparison.against_perplexity


def test_tests_are_by_window(session: PruningSession, tmp_path: Path) -> None:
    comparison = compared(session, tmp_path)
    plans = {
        "best": session.plan(session.scores(PRESETS["taylor"]), 0.5),
        "dense": session.plan(session.scores(PRESETS["taylor"]), 0.0),
    }
    assert plans["dense"].n_removed == 0
    test = session.dataset.test
    for method in ("magnitude_l1", "FLAP", "Wanda-sp"):
        lower = comparison.paired_perplexity(method)
        assert lower is not None
        assert lower.only_first + lower.only_second <= len(test)
    assert comparison.paired_perplexity("random") is None


def test_ties_between_windows_do_not_count() -> None:
    found = paired(np.array([3, 5, 2, 4]), np.array([1, 5, 4, 0]))
    assert (found.only_first, found.only_second) == (2, 1)
    assert found.p == 1.0


def test_flap_has_its_own_compensation_and_standardises_layers(
    session: PruningSession, tmp_path: Path
) -> None:
    from xaiprune.comparison.methods import Method
    from xaiprune.comparison.peers import peer_methods

    (flap,), _ = peer_methods(session, ["flap"], ["none", "linear"])
    assert isinstance(flap, Method)
    assert flap.prune["compensate"] == "mean"
    assert flap.prune["scope"] == "global"
    for scores in flap.scores.values():
        assert scores.mean() == pytest.approx(0, abs=1e-9)
        assert scores.std() == pytest.approx(1, rel=1e-6)
