"""What every operation with a relevance rule should fulfil.

class TestMyOperation(OperationSuite):
    cases = {"my_function": Case(lambda x: my_function(x, strength=2.0))}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaiprune.attribution.lrp import PLAIN_GRADIENT, Composite, Epsilon, Recording, relevance_at
from xaiprune.registry import OPERATIONS
from xaiprune.tracing import plain_name, short_name

COMPOSITES = (
    PLAIN_GRADIENT,
    Composite(Epsilon(0.0)),
    Composite(Epsilon(1e-6), softmax="cp", product="gate"),
    Composite(Epsilon(1e-6), softmax="zplus"),
)


@dataclass(frozen=True)
class Case:
    """One use of an operation.

    Attributes:
        function: (N, *shape) -> (N, ...); calls the operation on what depends on its argument, and may call
            others.
        shape: Of one input.
        has_gradient: Whether relevance is activation times gradient where a composite asks for that.
        tolerance: Relative; larger where the operation changes the precision.
    """

    function: Callable[[Tensor], Tensor]
    shape: tuple[int, ...] = (4, 6, 6)
    has_gradient: bool = True
    tolerance: float = 1e-9


class FunctionNetwork(nn.Module):
    """A function as a network; an identity layer makes logits (N, outputs) of what it returns."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.function(x).flatten(1)
        return F.linear(outputs, torch.eye(outputs.shape[1], dtype=outputs.dtype, device=outputs.device))


class _Names(TorchFunctionMode):
    """Collects the names of the functions that run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found.add(plain_name(short_name(func)))
        return func(*args, **(kwargs or {}))


class OperationSuite:
    """Derive a class called ``Test...`` from this and show how your operations are called.

    Attributes:
        cases: Name of an operation, as it is registered -> a use of it.
    """

    cases: ClassVar[Mapping[str, Case]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "operation" in metafunc.fixturenames:
            metafunc.parametrize("operation", list(self.cases))

    def _case(self, operation: str) -> tuple[Case, nn.Module, Tensor, Tensor]:
        """The case, its network, two images and relevance to begin with."""
        case = self.cases[operation]
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(2, *case.shape, dtype=torch.float64, generator=generator)
        model = FunctionNetwork(case.function)
        with torch.no_grad():
            logits = model(images.clone())
        initial = torch.randn(logits.shape, dtype=torch.float64, generator=generator).to(logits.dtype)
        return case, model, images, initial

    def test_it_is_registered_and_called(self, operation: str) -> None:
        _, model, images, _ = self._case(operation)
        assert OPERATIONS.get(operation) is not None
        with _Names() as names:
            model(images)
        assert operation in names.found

    def test_the_recorded_forward_is_the_plain_one(self, operation: str) -> None:
        case, model, images, _ = self._case(operation)
        given = images.clone()
        recorded = Recording(model, images, ()).logits
        assert torch.equal(images, given)
        torch.testing.assert_close(recorded, model(images.clone()), rtol=case.tolerance, atol=1e-12)

    def test_relevance_is_finite(self, operation: str) -> None:
        _, model, images, initial = self._case(operation)
        for composite in COMPOSITES:
            for brightness in (0.0, 1.0, 1e3):
                found = relevance_at(model, images * brightness, initial, composite, ["input"])["input"]
                assert found.shape == images.shape
                assert found.isfinite().all()

    def test_an_image_is_explained_alike_alone_and_in_a_batch(self, operation: str) -> None:
        case, model, images, initial = self._case(operation)
        for composite in COMPOSITES:
            together = relevance_at(model, images, initial, composite, ["input"])["input"]
            alone = relevance_at(model, images[:1], initial[:1], composite, ["input"])["input"]
            _close(alone, together[:1], case.tolerance)

    def test_with_gradients_for_all_treatments_it_is_the_plain_gradient(self, operation: str) -> None:
        case, model, images, initial = self._case(operation)
        if not case.has_gradient:
            pytest.skip("this operation has no plain gradient")
        leaf = images.clone().requires_grad_()
        (g,) = torch.autograd.grad((model(leaf.clone()) * initial).sum(), leaf)
        _close(
            relevance_at(model, images, initial, PLAIN_GRADIENT, ["input"])["input"],
            images * g,
            case.tolerance,
        )


def _close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    scale = max(1e-12, float(expected.abs().max()))
    torch.testing.assert_close(actual / scale, expected / scale, rtol=tolerance, atol=tolerance)
