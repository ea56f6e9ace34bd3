"""The final comparison on a small network: who is in it, what is shared, and that it is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from xaiprune.attribution import CRITERIA
from xaiprune.attribution.criteria import criterion
from xaiprune.comparison import run as final
from xaiprune.comparison.cache import NAME
from xaiprune.comparison.evaluator import curve_part
from xaiprune.comparison.run import compare_on_test
from xaiprune.config import PruneConfig
from xaiprune.data import Dataset
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Paired
from xaiprune.models import fingerprint
from xaiprune.pruning import masked
from xaiprune.recipe import PAPER, PRESETS
from xaiprune.session import PruningSession
from xaiprune.units import find_units

RATES = (0.0, 0.4)
ONE_CLASS_EACH = slice(0, 359, 9)


@pytest.fixture
def session(small_cnn: nn.Module, digits_data: Dataset) -> PruningSession:
    reference = digits_data.reference.subset(slice(0, 100, 10))
    data = replace(digits_data, reference=reference, test=digits_data.test.subset(ONE_CLASS_EACH))
    return PruningSession.of(
        small_cnn,
        data,
        find_units(small_cnn, "filters"),
        name="digits_resnet",
        unit_kind="filters",
        recipe=PAPER,
        prune=PruneConfig(rate=0.4),
    )


def compare(session: PruningSession, folder: Path, **changes: object) -> final.Comparison:
    settings: dict[str, object] = {"rates": RATES, "presets": ["epsilon", "epsilon_cp", "zplus"], "seeds": 2}
    return compare_on_test(session, PRESETS["taylor"], folder, **{**settings, **changes})  # type: ignore[arg-type]


def test_everyone_is_measured_on_every_test_image(session: PruningSession, tmp_path: Path) -> None:
    found = compare(session, tmp_path)
    frame = found.frame
    assert list(frame.method.unique()) == [
        "dense",
        "best found",
        "LRP epsilon",
        "LRP zplus",
        "taylor",
        "integrated_gradients",
        "activation",
        "magnitude_l1",
        "random",
    ]
    assert set(frame.total) == {40}
    assert (frame.correct / frame.total).tolist() == pytest.approx(frame.top1.tolist())
    assert ((frame.low <= frame.top1) & (frame.top1 <= frame.high)).all()
    assert sorted(frame[frame.kind == "random"].seed.unique()) == [0, 1]
    assert found.unit_count == sum(unit.units for unit in session.units)
    assert found.chance == pytest.approx(0.1)
    assert found.left_out == {"LRP epsilon_cp": "on this network the same as LRP epsilon"}


def test_nobody_prunes_at_rate_0_and_best_equals_taylor_here(session: PruningSession, tmp_path: Path) -> None:
    frame = compare(session, tmp_path).frame
    (dense,) = set(frame[frame.kind == "dense"].correct)
    assert set(frame[frame.rate == 0].correct) == {dense}
    rows = frame[frame.rate == 0.4].groupby("method").correct.unique()
    assert rows["best found"].tolist() == rows["taylor"].tolist()


def test_a_second_time_is_read_not_measured(
    session: PruningSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare(session, tmp_path)

    def measured(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(final, "_measure", measured)
    again = compare(session, tmp_path)
    assert again.frame.top1.tolist() == first.frame.top1.tolist()
    with pytest.raises(AssertionError, match="measured again"):
        compare(session, tmp_path, seeds=1)
    with torch.no_grad():
        next(session.model.parameters()).add_(1e-3)
    changed = replace(session, network=fingerprint(session.model))
    with pytest.raises(AssertionError, match="measured again"):
        compare(changed, tmp_path)


def test_one_that_is_killed_goes_on(
    session: PruningSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = compare(session, tmp_path / "complete")
    accuracy, calls = PruningSession.accuracy, 0

    def dies(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return accuracy(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(PruningSession, "accuracy", dies)
    with pytest.raises(KeyboardInterrupt):
        compare(session, tmp_path)
    partial = tmp_path / ".cache" / NAME
    assert len(partial.read_text().splitlines()) == 1 + 4 + 3  # with the costs of three plans
    partial.write_text(partial.read_text() + '{"plan": "cut sho')
    again = compare(session, tmp_path)
    assert again.frame.equals(complete.frame)
    assert again.against == complete.against
    different_plans = calls
    calls = 10
    compare(session, tmp_path / "another")
    assert different_plans - 1 == calls - 10  # the interrupted one was measured twice, no other


def test_the_model_is_left_as_it_was(session: PruningSession, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    compare(session, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in session.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in session.model.modules())


def test_rates_that_min_units_rules_out_are_left_out(session: PruningSession, tmp_path: Path) -> None:
    found = compare(session.with_prune(min_units=8), tmp_path, rates=(0.0, 0.4, 0.95), presets=[])
    assert set(found.frame.rate) == {0.0, 0.4}
    assert found.left_out == {"rates 0.95": "with prune.min_units=8 too few units can be removed"}


def test_unknown_preset_is_refused_before_any_work(session: PruningSession, tmp_path: Path) -> None:
    with pytest.raises(XaipruneError, match="no preset 'zpuls'; did you mean 'zplus'"):
        compare(session, tmp_path, presets=["zpuls"])


def test_curve_part_draws_as_many_of_each_class(digits_data: Dataset) -> None:
    test = digits_data.test
    side = test.size[0]
    part = curve_part(test, pixels=50 * side * side)
    assert part == sorted(set(part))
    assert test.labels[part].bincount().tolist() == [5] * 10
    assert curve_part(test) == list(range(len(test)))
    assert len(curve_part(test, pixels=1)) == 10


def test_a_further_comparison_measures_only_what_is_new(
    session: PruningSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = compare(session, tmp_path)
    accuracy, plans = PruningSession.accuracy, []

    def counted(self: PruningSession, pruned: object, images: object, **more: object) -> object:
        plans.append(pruned)
        return accuracy(self, pruned, images, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(PruningSession, "accuracy", counted)
    more = compare(session, tmp_path / "more", cache_dir=tmp_path, criteria=None, rates=(0.0, 0.4, 0.6))
    kinds = more.frame[more.frame.kind == "criterion"].method.unique()
    assert list(kinds) == [name for name in CRITERIA if name != "random"]
    methods = more.frame[more.frame.kind != "dense"].groupby(["method", "seed"], dropna=False).ngroups
    # Each at the new rate, and the new criteria at the old one.
    assert len(plans) <= methods + len(kinds) - 3
    same = more.frame.merge(few.frame, on=["method", "part", "rate", "seed"], suffixes=("", "_before"))
    assert len(same) == len(few.frame)
    assert (same.correct == same.correct_before).all()


def test_paired_with_the_best_image_by_image(session: PruningSession, tmp_path: Path) -> None:
    found = compare(session, tmp_path)
    assert set(found.against) == {"LRP epsilon", "LRP zplus", *final.CRITERIA}
    test = session.dataset.test
    right = {}
    for method in ("taylor", "activation"):
        labels = session.dataset.reference.labels
        scores = criterion(method)(
            session.model, session.reference_images, labels, session.units, session.task
        )
        with masked(session.model, session.plan(scores, 0.4), session.units):
            right[method] = session.task.select(session.model(test.tensor())).argmax(1) == test.labels
    both = found.paired("activation")
    assert both is not None
    assert both.only_first == int((right["taylor"] & ~right["activation"]).sum())
    assert both.only_second == int((~right["taylor"] & right["activation"]).sum())
    assert both.p == pytest.approx(_mcnemar(both.only_first, both.only_second))
    assert found.paired("taylor") == Paired(0, 0)
    assert found.paired("random") is None


def _mcnemar(first: int, second: int) -> float:
    """Two-sided exact p from the binomial distribution's definition."""
    n = first + second
    tail = sum(math.comb(n, k) for k in range(max(first, second), n + 1)) / 2**n
    return min(1.0, 2 * tail)


def test_rates_must_rise(session: PruningSession, tmp_path: Path) -> None:
    with pytest.raises(XaipruneError, match="rates of a comparison must rise"):
        compare(session, tmp_path, rates=(0.4, 0.0))
    with pytest.raises(XaipruneError, match="unknown criterion 'tailor'"):
        compare(session, tmp_path, criteria=["tailor"])
