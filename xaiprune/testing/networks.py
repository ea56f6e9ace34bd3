"""What xaiprune can do with a network, measured; each part is compared with its definition.

What a network cannot have is a sentence, the refusal in one line; what is wrong is an error.

>>> removal(timm.create_model("resnet18").double().eval(), torch.randn(3, 3, 64, 64).double())["mask"]
'yes'
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.attribution import Composite, attribute
from xaiprune.attribution.lrp import Epsilon, Gamma
from xaiprune.errors import XaipruneError
from xaiprune.forward import logits_of
from xaiprune.pruning import (
    Plan,
    Removal,
    compensate,
    export_onnx,
    load_pruned,
    make_plan,
    masked,
    remove_with_report,
    save_pruned,
)
from xaiprune.testing.small_networks import no_hooks
from xaiprune.units import UnitLayer, find_units

YES = "yes"
KINDS = ("neurons", "heads", "filters")  # a convolution of an MLP counts among the neurons
COMPOSITES = (Composite(Epsilon(1e-6)), Composite(Gamma(0.25), softmax="cp", product="gate"))
RATE = 0.3

Findings = dict[str, Any]


def attribution(model: nn.Module, images: Tensor) -> Findings:
    """Relevance of all units with two composites: finite, and alike alone and in a batch.

    Args:
        model: In eval mode. Double precision shows smaller errors.
        images: At least two, (N, 3, H, W).

    Returns:
        ``attribution``: yes, or why not.

    Raises:
        AssertionError: A value is wrong, or something of the network has changed.
    """
    labels = torch.arange(len(images))
    with _untouched(model, images):
        try:
            units = find_units(model, "filters+linear_outputs+heads", example=images[:1])
            together = attribute(model, images, labels, units, COMPOSITES)
        except XaipruneError as error:
            return {"attribution": _line(error)}
        alone = attribute(model, images[:1], labels[:1], units, COMPOSITES)
    # Epsilon 1e-6 divides by sums that float32 does not know to that accuracy.
    tolerance = 1e-5 if images.dtype == torch.float64 else 0.05
    for in_batch, single in zip(together, alone, strict=True):
        _require(any(bool(sums.any()) for sums in single.sums.values()), "all relevance is zero")
        for name, expected in single.sums.items():
            _require_close(in_batch.sums[name][:1], expected, tolerance, f"{name}, in a batch")
    return {"attribution": YES}


def removal(
    model: nn.Module, images: Tensor, architecture: str = "", kwargs: Mapping[str, Any] | None = None
) -> Findings:
    """Removal of all units: the smaller network gives the masked one's logits, compensated and saved, too.

    Args:
        model: In eval mode. Double precision shows smaller errors.
        images: At least two, (N, 3, H, W).
        architecture: Name by which the network is saved and loaded; not tried if empty.
        kwargs: Further arguments of ``timm.create_model``.

    Returns:
        ``kinds``: for each kind that the network has, how many ``layers`` there are, how many of them become
        ``smaller``, and ``why`` others can only be masked (reason -> layers). ``mask``, ``compensation``
        and ``saving``: yes, or why not.

    Raises:
        AssertionError: A value is wrong, or something of the network has changed.
    """
    tolerance = 1e-7 if images.dtype == torch.float64 else 1e-4
    with _untouched(model, images):
        try:
            units = find_units(model, "+".join(KINDS), example=images[:1])
            plan = _random_plan(units)
            found = remove_with_report(model, plan, units, images[:1])
        except XaipruneError as error:
            return {"kinds": {}, "mask": _line(error)}
        expected = _logits(model, images, plan, units)
        _require_close(_logits(found.model, images), expected, tolerance, "removed instead of masked")
        findings = {"kinds": _by_kind(model, units, found), "mask": YES}
        try:
            better = compensate(model, plan, units, images, "linear", sequential=False)
            smaller = remove_with_report(better, plan, units, images[:1]).model
            compensated = _logits(better, images, plan, units)
            _require_close(_logits(smaller, images), compensated, tolerance, "compensated")
            findings["compensation"] = YES
        except XaipruneError as error:
            findings["compensation"] = _line(error)
        if architecture:
            findings["saving"] = _saved(found, plan, architecture, kwargs or {}, images, expected)
    return findings


def export(model: nn.Module, images: Tensor) -> Findings:
    """ONNX of the smaller network in single precision, without any layer that could only be masked.

    Args:
        model: In eval mode, of any precision.
        images: (N, 3, H, W).

    Returns:
        ``onnx``: yes, or why not.

    Raises:
        AssertionError: Logits differ.
    """
    model, images = copy.deepcopy(model).float(), images.float()
    try:
        units = find_units(model, "+".join(KINDS), example=images[:1])
        plan = _random_plan(units)
        smaller = remove_with_report(model, plan, units, images[:1]).model
        expected = _logits(model, images, plan, units)
        _require_close(_logits(smaller, images), expected, 1e-3, "removed in single precision")
        with tempfile.TemporaryDirectory() as folder:
            difference = export_onnx(smaller, images[:1], folder)
    except XaipruneError as error:
        return {"onnx": _line(error)}
    _require(difference <= 1e-3, f"ONNX differs by {difference:.1e} of the largest")
    return {"onnx": YES}


def _saved(
    found: Removal,
    plan: Plan,
    architecture: str,
    kwargs: Mapping[str, Any],
    images: Tensor,
    expected: Tensor,
) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_pruned(
                found.model,
                folder,
                architecture=architecture,
                kwargs=kwargs,
                plan=plan,
                replaced=found.replaced,
            )
        except XaipruneError as error:
            return _line(error)
        loaded = load_pruned(folder).to(images.dtype)  # tables that are no weights are made anew
    # What the network's forward computes in single precision differs by that.
    _require_close(_logits(loaded, images), expected, 1e-4, "loaded")
    return YES


def _by_kind(model: nn.Module, units: Sequence[UnitLayer], found: Removal) -> dict[str, Findings]:
    names = {name for name, _ in model.named_modules()}
    kinds: dict[str, Findings] = {}
    for kind in KINDS:
        layers = [layer for layer in units if layer.kind == kind]
        if layers:
            smaller = sum(layer.name in found.removed for layer in layers)
            reasons = [found.masked[layer.name][1] for layer in layers if layer.name in found.masked]
            why = Counter(_without_names(reason, names) for reason in reasons)
            kinds[kind] = {"layers": len(layers), "smaller": smaller, "why": dict(why)}
    return kinds


def _without_names(reason: str, names: Set[str]) -> str:
    """The same text for all layers that have the same reason."""
    return " ".join("..." if word.strip(",:") in names else word for word in reason.split())


def _random_plan(units: Sequence[UnitLayer]) -> Plan:
    """Of each layer the same part, so that every layer loses units."""
    generator = torch.Generator().manual_seed(0)
    scores = {layer.name: torch.rand(layer.units, generator=generator) for layer in units}
    return make_plan(scores, units, RATE, scope="layer")


@contextmanager
def _untouched(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Afterwards the logits are the same bit for bit, attributes too, and the network can be copied."""
    before = _logits(model, images)
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    yield
    _require(torch.equal(_logits(model, images), before), "the network's logits have changed")
    after = {name: set(vars(module)) for name, module in model.named_modules()}
    _require(attributes == after, "attributes of the network have changed")
    _require(no_hooks(model), "hooks were left in the network")
    copy.deepcopy(model)


def _logits(
    model: nn.Module, images: Tensor, plan: Plan | None = None, units: Sequence[UnitLayer] = ()
) -> Tensor:
    with torch.no_grad(), masked(model, plan or {}, units):
        return logits_of(model(images))


def _require_close(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """To a part of the largest value."""
    _require(bool(expected.isfinite().all()), f"{what}: not finite")
    difference, largest = float((found - expected).abs().max()), float(expected.abs().max())
    _require(difference <= tolerance * largest, f"{what}: {difference:.1e} off, the largest is {largest:.1e}")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def _line(error: Exception) -> str:
    text = str(error)
    _require("\n" not in text, f"a refusal of several lines: {text}")
    return text
