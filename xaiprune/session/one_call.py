"""Prune a network in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from xaiprune.attribution import Composite
from xaiprune.config import AttributionConfig, PruneConfig, checked_section
from xaiprune.data import (
    Dataset,
    ImagesLike,
    LabelledImages,
    as_calibration,
    as_dataset,
    as_images,
)
from xaiprune.errors import XaipruneError
from xaiprune.models import outputs
from xaiprune.recipe import AUTO, Recipe, asked_recipe
from xaiprune.session.outcome import Outcome, apply_and_measure
from xaiprune.session.session import PruningSession
from xaiprune.units import UnitLayer, auto_kind, device_of, find_units


def prune(
    model: nn.Module,
    data: Dataset | ImagesLike,
    rate: float | None = None,
    *,
    units: str | Sequence[UnitLayer] = "auto",
    recipe: Recipe | Composite | str | Path = "auto",
    test: ImagesLike | None = None,
    target: str = "auto",
    calibration: ImagesLike | None = None,
    **settings: Any,
) -> Outcome:
    """Attribute reference images, remove the least relevant units, and measure what is left.

    Args:
        model: Any classifier, (n, 3, H, W) -> (n, outputs). It is put into eval mode and not changed.
        data: A `Dataset` (`load_data`), or reference images: a pair (images (N, 3, H, W), labels (N,)) of
            tensors, normalised as the network expects, or a torch ``DataLoader`` or dataset of such pairs.
            Ten images a class are plenty. A tensor or a loader of images alone has no labels.
        rate: Fraction of the units to remove, 0..1 (``budget="macs"``: of the MACs); None: the recipe's, else
            a half.
        units: A unit kind (``inner_filters``, ``neurons``, ``heads``, ...), or unit layers from `find_units`;
            ``auto``: the recipe's kind, else that of most parameters (`auto_kind`).
        recipe: ``auto`` (by the network's type), ``paper``, the name of a preset, a file (a study's
            ``best.yaml``), a `Recipe`, or a composite in place of the rules of ``auto``. What it says of
            scope, order, compensation and rounds holds unless ``settings`` set it; what it leaves open is as
            in ``auto``.
        test: Images to measure top-1 on, as ``data``; None: those of the `Dataset`, if ``data`` is one.
            Without labels, the agreement with the dense network is measured.
        target: The class that relevance starts at: ``labels``, ``predicted`` (by the dense network), or
            ``auto``: labels where there are any.
        calibration: Images for what compensation and the joint order know of the network's activations, as
            ``data``, without labels; a ``DataLoader`` is read batch by batch, in every pass again, and not
            kept in memory. None: the reference images.
        settings: Further keys of the ``prune`` section: ``compensate="linear"``, ``order="joint"``,
            ``scope="layer"``, ``budget="macs"``, ...

    Returns:
        The smaller network (``.model``), its plan, and top-1 and cost before and after.

    Raises:
        XaipruneError: Images or labels do not fit, an unknown setting, no such units, relevance that is not
            finite; names what it is about.

    Example:
        >>> outcome = prune(model, (images, labels), rate=0.3)
        >>> small = outcome.model
    """
    asked = asked_recipe(recipe)
    of_recipe = asked if isinstance(asked, Recipe) else None
    if rate is None and of_recipe is not None:
        rate = of_recipe.rate
    checked_section(AttributionConfig, "attribution", {"target": target})
    section = checked_section(PruneConfig, "prune", settings if rate is None else {**settings, "rate": rate})
    dataset, kind = _dataset(model.eval(), data, test), None
    if isinstance(units, str):
        example = dataset.reference.inputs(slice(0, 1), device_of(model))
        kind = units
        if kind == AUTO:
            own = None if of_recipe is None else of_recipe.units
            kind = own or auto_kind(model, example)
        units = find_units(model, kind, example=example)
    session = PruningSession.of(
        model,
        dataset,
        units,
        unit_kind=kind,
        recipe=asked,
        prune=section,
        target=target,
        calibration=_calibration(section, calibration),
    )
    return apply_and_measure(session, session.plan_for(session.recipe), session.recipe)


def _dataset(model: nn.Module, data: Dataset | ImagesLike, test: ImagesLike | None) -> Dataset:
    if isinstance(data, Dataset):
        return as_dataset(data, test=test)
    images = as_images(data, name="reference")
    count = outputs(model, images.inputs(slice(0, 1), device_of(model)))
    # As a pair, so that labels are compared with the outputs.
    pair = (images.tensor(), images.labels) if images.labelled and images.pictured else images
    return as_dataset(pair, outputs=count, test=test)


def _calibration(section: PruneConfig, given: ImagesLike | None) -> LabelledImages | None:
    if section.calibration_root is not None:
        raise XaipruneError(
            "prune.calibration_root is for configurations; give calibration=images or a loader"
        )
    if given is None:
        if section.calibration_images is not None:
            raise XaipruneError("calibration_images has no effect alone; give calibration=images or a loader")
        return None
    images, count = as_calibration(given), section.calibration_images
    return images if count is None else images.spread(count)
