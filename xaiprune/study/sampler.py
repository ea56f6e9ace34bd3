"""Optuna's samplers and pruners from their YAML, seeded so that a resumed study does not repeat itself."""

from __future__ import annotations

import hashlib
import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import hydra.utils
from hydra.errors import HydraException
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, TPESampler

from xaiprune.errors import XaipruneError
from xaiprune.space.numbers import Number, OneOf, Range
from xaiprune.space.space import ANY, INHERIT, Space
from xaiprune.study.history import BoundedHistory

# Their points are one sequence, shuffled by the seed; the storage knows its current position.
_ONE_SEQUENCE = (GridSampler, QMCSampler)
_MOST_POINTS = 1_000_000  # Optuna's grid sampler lists them all
# These do not use the parameters that all trials have in common; a trial without any would leave none.
_FREE_OF_INTERSECTION = ("TPESampler", "RandomSampler", "GridSampler")


def make_sampler(
    settings: Mapping[str, Any], space: Space, seed: int, trials: int, worker: int | None = None
) -> BaseSampler:
    """The sampler for the next trial.

    Args:
        settings: The ``sampler`` section: ``_target_`` and arguments.
        space: Tells a grid its points.
        seed: Base seed.
        trials: How many trials the study has. The sampler's seed depends on it, so that the next trial is
            the same whether the study was interrupted before it or not.
        worker: Number of the process among those that work on the study, whose seeds must differ: two that
            ask in the same moment see as many trials.

    Raises:
        XaipruneError: No such sampler, arguments it does not take, or a package it needs is missing.
    """
    kind = _class("sampler", settings)
    known = inspect.signature(kind).parameters
    extra: dict[str, Any] = {}
    if "seed" in known and settings.get("seed") is None:
        extra["seed"] = seed if issubclass(kind, _ONE_SEQUENCE) else _mixed(seed, trials, worker)
    if issubclass(kind, GridSampler) and "search_space" not in settings:
        extra["search_space"] = grid(space)
    sampler: BaseSampler = _instantiate("sampler", settings, extra)
    if worker is not None and isinstance(sampler, GridSampler):
        sampler.reseed_rng()  # the order of its points is made; each worker picks among them for itself
    return BoundedHistory(sampler) if isinstance(sampler, TPESampler) else sampler


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """The pruner of the ``pruner`` section.

    Raises:
        XaipruneError: As `make_sampler`.
    """
    return _instantiate("pruner", settings, {})


def takes_trials_without_parameters(settings: Mapping[str, Any]) -> bool:
    """Whether a preset outside the space can be a trial without harming what the sampler learns."""
    name = str(settings.get("_target_", "")).rpartition(".")[2]
    if name == "TPESampler" and settings.get("multivariate") and not settings.get("group"):
        return False
    return name in _FREE_OF_INTERSECTION


def grid(space: Space) -> dict[str, list[Any]]:
    """All parameters of a space and their values.

    Raises:
        XaipruneError: One of them is a range, or they have too many combinations.
    """
    points: dict[str, list[Any]] = {}
    for part in (*space.own, *space.parts):
        names = [option.name for option in part.options]
        if part in space.own:
            points[f"{part.name}.rule"] = [INHERIT, *names]
        elif len(names) > 1:
            points[f"{part.name}.rule"] = names
        for option in part.options:
            for parameter, by_type in option.parameters.items():
                for layer_type, number in by_type.items():
                    if layer_type == ANY or layer_type in part.types:
                        name = option.parameter_name(part.name, parameter, layer_type)
                        points |= _values(name, number)
    points |= {name: list(d.choices) for name, d in space.dimensions().items() if d.searched}
    for name, number in space.numbers().items():
        points |= _values(name, number)
    if (count := math.prod(map(len, points.values()))) > _MOST_POINTS:
        raise XaipruneError(
            f"sampler=grid cannot go through {count:.3g} points ({len(points)} parameters), at most "
            f"{_MOST_POINTS:,}; give the space fewer choices, or set sampler=tpe"
        )
    return points


def _values(name: str, number: Number) -> dict[str, list[Any]]:
    if isinstance(number, Range):
        raise XaipruneError(
            f"sampler=grid cannot go through {name}, which is a range ({number}); "
            "use space=pxp, or list its values: [a, b]"
        )
    return {name: list(number.values)} if isinstance(number, OneOf) else {}


def _class(section: str, settings: Mapping[str, Any]) -> type:
    try:
        return hydra.utils.get_class(str(settings["_target_"]))
    except KeyError:
        raise XaipruneError(f"{section}._target_ is required, such as optuna.samplers.TPESampler") from None
    except Exception as error:  # Hydra raises Exception itself, among others
        raise XaipruneError(f"{section}._target_={settings['_target_']}: {_line(error)}") from error


def _instantiate(section: str, settings: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    kind = _class(section, settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            make = hydra.utils.instantiate(dict(settings), _partial_=True, _convert_="all")
            return make(**extra)
    except (TypeError, ValueError, HydraException) as error:
        raise XaipruneError(
            f"{section}: {kind.__name__} does not take these settings ({_line(error)})"
        ) from error
    except ImportError as error:
        raise XaipruneError(f"{section}: {kind.__name__} needs a package ({_line(error)})") from error


def _mixed(seed: int, trials: int, worker: int | None) -> int:
    text = f"{seed} {trials}" if worker is None else f"{seed} {trials} {worker}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
