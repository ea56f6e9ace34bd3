"""What every unit kind should fulfil.

class TestMyKind(UnitKindSuite):
    cases = (("my_kind", small_network),)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xaiprune.pruning import Plan, compensate, make_plan, masked, remove_with_report
from xaiprune.registry import UNIT_KINDS
from xaiprune.tracing import running_modules
from xaiprune.units import UnitLayer, default_example, find_units, unit_costs


class UnitKindSuite:
    """Derive a class called ``Test...`` from this; name your kinds, and networks that have such units.

    Attributes:
        cases: Pairs of a kind, as it is registered, and a function that builds a network. Networks should be
            small, in eval mode, always the same, and should have BatchNorms that are not the identity.
    """

    cases: ClassVar[Sequence[tuple[str, Callable[[], nn.Module]]]] = ()

    def images(self, model: nn.Module, count: int = 12) -> Tensor:
        """Images for a network, (N, 3, H, W); override it if `default_example` does not know its size."""
        example = default_example(model)
        assert isinstance(example, Tensor)
        shape = example.shape[1:]
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "kind" in metafunc.fixturenames:
            names = [f"{kind}-{build.__name__}" for kind, build in self.cases]
            metafunc.parametrize(("kind", "build"), self.cases, ids=names)

    @pytest.fixture
    def model(self, build: Callable[[], nn.Module]) -> nn.Module:
        return build()

    @pytest.fixture
    def units(self, kind: str, model: nn.Module) -> list[UnitLayer]:
        return find_units(model, kind, example=self.images(model, 1))

    @pytest.fixture
    def plan(self, units: list[UnitLayer]) -> Plan:
        return make_plan(_random_scores(units), units, 0.4)

    def test_it_describes_itself(self, kind: str, units: list[UnitLayer]) -> None:
        text = (UNIT_KINDS.find(kind).__doc__ or "").partition("\n")[0]
        assert text.endswith(".")
        assert len({layer.name for layer in units}) == len(units)
        for layer in units:
            assert layer.kind in UNIT_KINDS
            assert layer.units > 0
            assert layer.width > 0

    def test_units_are_found_in_execution_order(self, model: nn.Module, units: list[UnitLayer]) -> None:
        ran: list[str] = []

        def entering(name: str, args: Any) -> None:
            ran.append(name)

        with running_modules(model, entering):
            _logits(model, self.images(model, 1))
        names = [layer.name for layer in units]
        assert names == [name for name in dict.fromkeys(ran) if name in names]

    def test_finding_changes_nothing(self, kind: str, model: nn.Module) -> None:
        for module in list(model.modules())[::2]:
            module.training = True
        state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
        first, second = (find_units(model, kind, example=self.images(model, 1)) for _ in range(2))
        assert first == second
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        assert [module.training for module in model.modules()] == modes
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    def test_counts_match_the_tapped_tensor(self, model: nn.Module, units: list[UnitLayer]) -> None:
        tapped = _tapped(model, units, self.images(model, 2))
        for layer in units:
            assert tapped[layer.name].shape[layer.dim] == layer.units * layer.width

    def test_a_mask_is_exactly_zero(self, model: nn.Module, units: list[UnitLayer]) -> None:
        images = self.images(model, 2)
        dense = _logits(model, images)
        for layer in units:
            chosen = list(range(0, layer.units, 2))
            with masked(model, {layer.name: chosen}, units):
                channels = _tapped(model, [layer], images)[layer.name].movedim(layer.dim, 0)
            assert (channels[layer.channels(chosen)] == 0).all()
            kept = layer.channels(range(1, layer.units, 2))
            assert not len(kept) or bool((channels[kept] != 0).any())
        assert torch.equal(_logits(model, images), dense)

    def test_plans_at_rising_rates_are_nested(self, units: list[UnitLayer]) -> None:
        scores = _random_scores(units)
        total = sum(layer.units for layer in units)
        before: dict[str, tuple[int, ...]] = {layer.name: () for layer in units}
        for rate in (0, 0.2, 0.4, 0.6):
            plan = make_plan(scores, units, rate, min_units=0)
            assert plan.n_removed == math.floor(rate * total + 0.5)
            assert all(set(before[name]) <= set(removed) for name, removed in plan.removed.items())
            before = plan.removed

    def test_removed_is_masked(self, model: nn.Module, units: list[UnitLayer], plan: Plan) -> None:
        images = self.images(model, 2)
        found = remove_with_report(model, plan, units, images[:1])
        with masked(model, plan, units):
            _assert_close(_logits(found.model, images), _logits(model, images))
        for layer in units:
            count = len(plan.removed[layer.name])
            assert found.removed.get(layer.name, 0) == (count if layer.removable else 0), layer.name
            assert found.masked.get(layer.name, (0, ""))[0] == (0 if layer.removable else count), layer.name
        assert all(reason for _, reason in found.masked.values())
        small, dense = (sum(p.numel() for p in network.parameters()) for network in (found.model, model))
        assert small < dense or not found.removed

    @pytest.mark.parametrize("method", ["mean", "linear"])
    @pytest.mark.parametrize("sequential", [True, False])
    def test_it_can_be_compensated_for(
        self, model: nn.Module, units: list[UnitLayer], plan: Plan, method: str, sequential: bool
    ) -> None:
        images = self.images(model)
        new = compensate(model, plan, units, images, method, sequential=sequential)
        with masked(new, plan, units):
            expected = _logits(new, images)
        assert expected.isfinite().all()
        _assert_close(_logits(remove_with_report(new, plan, units, images[:1]).model, images), expected)

    @pytest.mark.parametrize("budget", ["params", "macs"])
    def test_costs_are_positive(self, model: nn.Module, units: list[UnitLayer], budget: str) -> None:
        costs = unit_costs(model, units, budget, self.images(model, 1))
        assert list(costs) == [layer.name for layer in units]
        for layer in units:
            assert costs[layer.name].shape == (layer.units,)
            assert costs[layer.name].dtype == torch.float64
            assert (costs[layer.name] > 0).all()


def _random_scores(units: Sequence[UnitLayer]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {layer.name: torch.rand(layer.units, generator=generator) for layer in units}


@torch.no_grad()
def _logits(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def _tapped(model: nn.Module, units: Sequence[UnitLayer], images: Tensor) -> dict[str, Tensor]:
    """Unit layer -> what its tap saw in its last call."""
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for layer in units:

            def keep_input(_: nn.Module, args: tuple[Tensor, ...], name: str = layer.name) -> None:
                seen[name] = args[0].clone()

            def keep_output(_: nn.Module, args: Any, output: Tensor, name: str = layer.name) -> None:
                seen[name] = output.clone()

            tap = model.get_submodule(layer.tap)
            if layer.where == "input":
                hooks.enter_context(tap.register_forward_pre_hook(keep_input))
            else:
                hooks.enter_context(tap.register_forward_hook(keep_output))
        _logits(model, images)
    return seen


def _assert_close(found: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest value."""
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
