"""Prune a network in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from xaiprune.attribution import Composite, Start
from xaiprune.config import AttributionConfig, PruneConfig, checked_section, search_conditions
from xaiprune.data import Dataset, ImagesLike, LabelledImages, as_calibration, as_dataset, as_images
from xaiprune.errors import XaipruneError
from xaiprune.models import outputs
from xaiprune.recipe import Recipe, preset, recipe_of_file
from xaiprune.session.outcome import Outcome, apply_and_measure
from xaiprune.session.session import PruningSession
from xaiprune.units import UnitLayer, device_of, find_units


def prune(
    model: nn.Module,
    data: Dataset | ImagesLike,
    rate: float = 0.5,
    *,
    units: str | Sequence[UnitLayer] = "filters",
    recipe: Recipe | Composite | str | Path = "epsilon",
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
        rate: Fraction of the units to remove, 0..1 (``budget="macs"``: of the MACs).
        units: A unit kind (``inner_filters``, ``neurons``, ``heads``, ...), or unit layers from `find_units`.
        recipe: A `Recipe`, the name of a preset, a composite (with the ``attribution`` section's defaults),
            or a file that a search has written. What a
            recipe or its file sets (scope, order, compensation, rounds) holds unless ``settings`` set it.
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
        >>> outcome = prune(model, (images, labels), rate=0.3, units="filters", compensate="linear")
        >>> small = outcome.model
    """
    dataset = _dataset(model.eval(), data, test)
    wanted, found = _recipe(recipe)
    checked_section(AttributionConfig, "attribution", {"target": target})
    section = checked_section(PruneConfig, "prune", {**found, **wanted.prune, **settings, "rate": rate})
    if isinstance(units, str):
        units = find_units(model, units, example=dataset.reference.tensor(slice(0, 1)))
    images = _calibration(section, calibration)
    session = PruningSession.of(model, dataset, units, prune=section, target=target, calibration=images)
    plan = session.plan(session.scores(wanted), rate, rerank=session.ranker(wanted))
    return apply_and_measure(session, plan)


def _dataset(model: nn.Module, data: Dataset | ImagesLike, test: ImagesLike | None) -> Dataset:
    if isinstance(data, Dataset):
        return as_dataset(data, test=test)
    images = as_images(data, name="reference")
    count = outputs(model, images.tensor(slice(0, 1), device_of(model)))
    # As a pair, so that labels are compared with the outputs.
    pair = (images.tensor(), images.labels) if images.labelled else images
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


def _recipe(recipe: Recipe | Composite | str | Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, and the ``prune`` settings that its file was searched under."""
    if isinstance(recipe, Recipe):
        return recipe, {}
    defaults = AttributionConfig()
    if isinstance(recipe, Composite):
        return Recipe(recipe, cast(Start, defaults.start)), {}
    if isinstance(recipe, Path) or recipe.endswith((".yaml", ".yml")):
        return recipe_of_file(str(recipe), defaults), search_conditions(recipe)
    return preset(recipe, "recipe"), {}
