"""Published methods in a comparison: each by its own settings, and Torch-Pruning's networks at equal MACs."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_pruning
from torch import nn

from xaiprune.attribution.criteria import criterion
from xaiprune.comparison import (
    Comparison,
    Method,
    NetworkMethod,
    TestEvaluator,
    compare_on_test,
    known_peers,
    peer_methods,
    torch_pruning_network,
)
from xaiprune.config import PruneConfig, compose
from xaiprune.data import Dataset
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import macs
from xaiprune.models.small import digits_vit
from xaiprune.recipe import PAPER, PRESETS
from xaiprune.registry import PEERS
from xaiprune.session import PruningSession
from xaiprune.units import find_units

IMPORTANCES = ("taylor", "magnitude")


def session_of(network: nn.Module, data: Dataset, kind: str, **prune: object) -> PruningSession:
    few = replace(
        data, reference=data.reference.subset(slice(0, 100, 5)), test=data.test.subset(slice(0, 359, 9))
    )
    settings = PruneConfig(rate=0.4, **prune)  # type: ignore[arg-type]
    return PruningSession.of(
        network, few, find_units(network, kind), unit_kind=kind, recipe=PAPER, prune=settings
    )


@pytest.fixture
def session(small_cnn: nn.Module, digits_data: Dataset) -> PruningSession:
    return session_of(small_cnn, digits_data, "inner_filters")


def compare(session: PruningSession, folder: Path, **changes: object) -> Comparison:
    settings: dict[str, object] = {"rates": (0.0, 0.4), "presets": [], "criteria": ["taylor"], "seeds": 1}
    return compare_on_test(session, PRESETS["taylor"], folder, **{**settings, **changes})  # type: ignore[arg-type]


def test_all_of_them_are_measured(session: PruningSession, tmp_path: Path) -> None:
    found = compare(session, tmp_path, peers="all")
    frame = found.frame
    peers = ["Wanda-sp", "FLAP", "VBP", "CORP", "GRAIL", "ThiNet", "TP GroupTaylor", "TP GroupMagnitude"]
    assert list(frame.method.unique()) == ["dense", "best found", "taylor", *peers, "random"]
    assert set(frame[frame.method.isin(peers)].kind) == {"peer"}
    assert set(peers) <= set(found.against)
    assert found.left_out == {}
    target = frame[frame.part == "target"].set_index("method")
    dense = macs(session.model, session.example)
    for method, scores in (("taylor", "taylor"), ("VBP", "variance")):
        plan = session.plan(ranking(session, scores), 0.4)
        assert target.macs[method] == macs(session.remove(plan).model, session.example) / dense
    assert target.macs["dense"] == 1
    for method in ("TP GroupTaylor", "TP GroupMagnitude"):
        assert target.macs[method] == pytest.approx(target.macs["best found"], abs=0.02)
        assert frame[(frame.method == method) & (frame.rate == 0)].macs.item() == 1
    again = compare(session, tmp_path, peers=list(PEERS))
    assert again.frame.equals(frame)  # read back, MACs too


def ranking(session: PruningSession, name: str) -> dict[str, torch.Tensor]:
    labels = session.dataset.reference.labels
    return criterion(name)(session.model, session.reference_images, labels, session.units, session.task)


def test_each_has_its_own_settings(session: PruningSession, tmp_path: Path) -> None:
    """Whatever the configuration says."""
    configured = session.with_prune(order="joint", compensate="linear", rounds=2)
    evaluator = TestEvaluator(configured, tmp_path)
    methods, _ = peer_methods(configured, ["vbp", "corp", "grail", "wanda"])
    vbp, corp, grail, wanda = (method for method in methods if isinstance(method, Method))
    for method, name, settings in (
        (vbp, "variance", {"scope": "global", "compensate": "mean", "sequential": False}),
        (corp, "activation", {"scope": "layer", "compensate": "linear", "sequential": False}),
        (grail, "magnitude_l1", {"scope": "layer", "compensate": "linear", "sequential": False}),
        (wanda, "wanda", {"scope": "layer", "compensate": "linear"}),
    ):
        own = session.with_prune(**settings)
        plan = own.plan(ranking(session, name), 0.4)
        assert method.plan(configured, 0.4).removed == plan.removed
        expected = own.accuracy(own.remove(plan).model, session.dataset.test)
        assert evaluator.figures(method, 0.4)["correct"] == expected.correct


def test_two_ways_of_compensating_one_plan_are_two_networks(session: PruningSession, tmp_path: Path) -> None:
    evaluator = TestEvaluator(session.with_prune(compensate="linear"), tmp_path)
    scores = ranking(session, "magnitude_l1")
    for sequential in (True, False, None):
        method = Method("one", "peer", scores, prune={"sequential": sequential})
        own = session.with_prune(compensate="linear", sequential=sequential is not False)
        found = own.accuracy(own.remove(own.plan(scores, 0.4)).model, session.dataset.test)
        assert evaluator.figures(method, 0.4)["correct"] == found.correct
    assert len((tmp_path / "measured.jsonl").read_text().splitlines()) == 1 + 2 + 1  # costs, of both


def test_recalibrated_is_another_network(session: PruningSession, tmp_path: Path) -> None:
    evaluator, scores = TestEvaluator(session, tmp_path), ranking(session, "magnitude_l1")
    found = []
    for bn in ("keep", "recalibrate"):
        own = session.with_prune(bn=bn)
        smaller = own.remove(own.plan(scores, 0.4)).model
        expected = own.accuracy(smaller, session.dataset.test).correct
        measured = evaluator.figures(Method("one", "peer", scores, prune={"bn": bn}), 0.4)
        assert measured["correct"] == expected
        with torch.no_grad():
            found.append(smaller(session.reference_images))
    assert not torch.allclose(*found)
    assert len((tmp_path / "measured.jsonl").read_text().splitlines()) == 1 + 2 + 1  # costs, of both


def test_torch_prunings_networks_are_recalibrated_where_that_is_configured(session: PruningSession) -> None:
    networks = []
    for bn in ("keep", "recalibrate"):
        (method,), _ = peer_methods(session.with_prune(bn=bn), ["tp_group_magnitude"])
        assert isinstance(method, NetworkMethod)
        networks.append(method.network(0.6).state_dict())
    kept, anew = networks
    for name, tensor in kept.items():
        assert tensor.equal(anew[name]) == ("running" not in name), name


def test_figures_of_another_precision_are_kept_apart(session: PruningSession, tmp_path: Path) -> None:
    method = Method("one", "peer", ranking(session, "magnitude_l1"))
    TestEvaluator(session, tmp_path).figures(method, 0.4)
    coarse = TestEvaluator(session, tmp_path, "bfloat16").figures(method, 0.4)
    pruned = session.pruned(method.plan(session, 0.4))
    expected = session.accuracy(pruned, session.dataset.test, precision="bfloat16")
    assert coarse["right"] == np.packbits(expected.per_image).tobytes().hex()


def test_thinet_takes_the_joint_order_without_scores(session: PruningSession) -> None:
    for how in ("none", "linear"):
        methods, left_out = peer_methods(session.with_prune(compensate=how), ["thinet"])
        (method,) = methods
        assert isinstance(method, Method)
        plan = method.plan(session, 0.4)
        for layer, ranks in session.dense.joint_order(how).ranks().items():
            count = len(plan.removed[layer])
            assert count == round(0.4 * len(ranks))
            assert set(plan.removed[layer]) == set(ranks.argsort()[:count].tolist())
        assert not left_out


def test_every_compensation_is_a_row(session: PruningSession, tmp_path: Path) -> None:
    peers, under = ["wanda", "corp", "thinet", "tp_group_magnitude"], ["none", "linear"]
    found = compare(session, tmp_path, peers=peers, compensate=under, rates=(0.4,))
    assert list(found.frame.method.unique()) == [
        *("dense", "best found", "taylor (none)", "taylor (linear)", "Wanda-sp (none)", "Wanda-sp (linear)"),
        *(
            "CORP",
            "ThiNet (none)",
            "ThiNet (linear)",
            "TP GroupMagnitude",
            "random (none)",
            "random (linear)",
        ),
    ]
    target = found.frame[found.frame.part == "target"].set_index("method")
    assert target.correct["taylor (none)"] == target.correct["best found"]
    linear = session.with_prune(compensate="linear")
    smaller = linear.remove(linear.plan(ranking(session, "taylor"), 0.4)).model
    assert target.correct["taylor (linear)"] == linear.accuracy(smaller, session.dataset.test).correct


def test_who_cannot_be_had_is_left_out_with_the_reason(digits_data: Dataset, small_cnn: nn.Module) -> None:
    session = session_of(small_cnn, digits_data, "filters")
    methods, left_out = peer_methods(session, ["thinet", "vbp"])
    assert [method.name for method in methods] == ["VBP"]
    assert list(left_out) == ["thinet"]
    assert "none of their own; leave these layers out (units=inner_filters)" in left_out["thinet"]
    vit = session_of(digits_vit().eval(), digits_data, "neurons")
    methods, left_out = peer_methods(vit, ["tp_group_taylor", "wanda"])
    assert [method.name for method in methods] == ["Wanda-sp"]
    assert left_out["tp_group_taylor"].startswith("Torch-Pruning does not take this network (")
    assert "\n" not in left_out["tp_group_taylor"]


def test_a_library_that_fails_later_loses_its_rows(
    session: PruningSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> nn.Module:
        raise XaipruneError("not this one")

    made = PEERS["tp_group_magnitude"](session, None)
    monkeypatch.setitem(PEERS._entries, "tp_group_magnitude", lambda *_: [replace(made[0], network=failing)])
    found = compare(session, tmp_path, peers=["tp_group_magnitude"])
    assert found.left_out == {"TP GroupMagnitude": "not this one"}
    assert set(found.frame.method) == {"dense", "best found", "taylor", "random"}
    assert "TP GroupMagnitude" not in found.against


def test_macs_of_a_plan_that_would_empty_a_layer_are_unknown(session: PruningSession, tmp_path: Path) -> None:
    empty = session.with_prune(min_units=0)
    first = session.units[0]
    scores = {unit.name: torch.ones(unit.units) for unit in session.units} | {
        first.name: torch.zeros(first.units)
    }
    plan = empty.plan(scores, first.units / session.unit_count)
    evaluator = TestEvaluator(empty, tmp_path)
    assert torch.tensor(list(evaluator.costs(plan).values())).isnan().all()
    (method,) = PEERS["tp_group_magnitude"](session, None)
    with pytest.raises(XaipruneError, match="the MACs that the best leaves, and these are not known"):
        evaluator.figures_at_macs(method, evaluator.costs(plan)["macs"])


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_torch_pruning_is_used_as_its_authors_do(
    importance: str, small_cnn: nn.Module, session: PruningSession
) -> None:
    images, labels = session.reference_images, session.dataset.reference.labels
    before = copy.deepcopy(small_cnn.state_dict())
    network = torch_pruning_network(small_cnn, session.example, importance, 0.5, images, labels, session.task)
    assert all(torch.equal(before[name], value) for name, value in small_cnn.state_dict().items())
    assert all(p.grad is None for p in [*small_cnn.parameters(), *network.parameters()])
    assert not network.training
    assert macs(network, images[:1]) / macs(small_cnn, images[:1]) == pytest.approx(0.5, abs=0.02)
    # By hand, at the ratio that it must have been.
    ratio = 1 - network.layer4[0].conv1.out_channels / small_cnn.layer4[0].conv1.out_channels
    byhand = copy.deepcopy(small_cnn)
    nn.functional.cross_entropy(byhand(images), labels).backward()
    name = "GroupTaylorImportance" if importance == "taylor" else "GroupMagnitudeImportance"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch_pruning.pruner.MetaPruner(
            byhand,
            images[:1],
            importance=getattr(torch_pruning.importance, name)(),
            pruning_ratio=ratio,
            ignored_layers=[byhand.fc],
        ).step()
    with torch.no_grad():
        torch.testing.assert_close(network(images), byhand(images), rtol=1e-3, atol=1e-3)


def test_names(session: PruningSession) -> None:
    assert known_peers(None) == known_peers([]) == []
    assert known_peers("all") == known_peers(["vbp", "all"]) == list(PEERS)
    assert known_peers("wanda") == ["wanda"]
    with pytest.raises(XaipruneError, match="there is no peer 'thinett'; did you mean 'thinet'"):
        known_peers(["wanda", "thinett"])
    for peers, expected in (("[wanda,vbp]", ["wanda", "vbp"]), ("all", "all"), ("null", None)):
        config = compose("compare", ["model=digits_resnet", f"compare.peers={peers}"])
        assert config.compare.peers == expected  # type: ignore[attr-defined]
    with pytest.raises(XaipruneError, match=r"compare\.peers must be all, or a list of wanda, flap, vbp, "):
        compose("compare", ["model=digits_resnet", "compare.peers=[wander]"])
    with pytest.raises(XaipruneError, match=r"compare\.compensate must be a list of none, mean, linear"):
        compose("compare", ["model=digits_resnet", "compare.compensate=[average]"])
    with pytest.raises(XaipruneError, match="unknown importance random"):
        torch_pruning_network(session.model, session.example, "random", 0.5, session.example, torch.zeros(1))
