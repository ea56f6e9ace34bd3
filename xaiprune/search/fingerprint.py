"""What a study's values depend on, so that two set-ups never mix under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from xaiprune.config import PruneConfig
from xaiprune.errors import XaipruneError
from xaiprune.search.context import Context

_SHOWN = 6  # differences named in the error


def fingerprint_of(context: Context) -> dict[str, Any]:
    """Plain data: equal for set-ups whose trials can be compared.

    Sampler, seed, device, batch sizes and the number of trials are not part of it: they may change from
    one run to the next.
    """
    config, dataset = context.config, context.dataset
    prune = {key: getattr(config.prune, key) for key in ("rate", "budget", "scope", "floor")}
    plain = PruneConfig()
    for key in ("compensate", "sequential", "coupled", "bn"):
        # What is as always goes without saying, so that a new setting does not shut out old studies.
        if (value := getattr(config.prune, key)) != getattr(plain, key):
            prune[key] = value
    objective: dict[str, Any] = {"name": context.objective.name, "rates": list(context.objective.rates)}
    if context.objective.bisects:
        objective["keep"] = context.objective.keep
    if context.objective.cost is not None:
        objective["cost"] = context.objective.cost
    if context.objective.constraints:
        objective["constraints"] = [constraint.text for constraint in context.objective.constraints]
    return {
        "model": {"name": config.model.pruned or config.model.name, "weights": context.network},
        "data": {
            "classes": list(dataset.task.classes),
            "logits": None if dataset.task.logits is None else list(dataset.task.logits),
            "reference": _images(dataset.reference.fingerprint(), len(dataset.reference)),
            "validation": _images(context.validation.fingerprint(), len(context.validation)),
            "test": _images(dataset.test.fingerprint(), len(dataset.test)),
        },
        "units": {
            **asdict(config.units),
            "found": sum(unit.units for unit in context.units),
        },
        "prune": prune,
        "objective": objective,
        "space": _space(context),
        "attribution": {
            key: getattr(config.attribution, key)
            for key in ("start", "aggregate", "image_weight", "normalize")
            if key not in config.space and context.space.centre is None
        },
    }


def check_same(stored: Mapping[str, Any], current: Mapping[str, Any], name: str, storage: str) -> None:
    """Refuse to go on with a study that was made with another set-up.

    Raises:
        XaipruneError: Names what differs, field by field, and the ways out.
    """
    found = list(differences(stored, current))
    if not found:
        return
    shown = "; ".join(f"{key} was {_short(old)}, now {_short(new)}" for key, old, new in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise XaipruneError(
        f"study '{name}' in {storage} was made with another set-up: {shown}{more}. "
        "Set study.name=ANOTHER_NAME for a new study, or go back to the old set-up"
    )


def differences(stored: Any, current: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, stored value, current value) of everything that differs; a missing value is None."""
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        for name in dict.fromkeys([*stored, *current]):
            yield from differences(stored.get(name), current.get(name), f"{key}.{name}" if key else name)
    elif stored != current:
        yield key, stored, current


def _space(context: Context) -> dict[str, Any]:
    """The space as configured; of a file that it lies around the content counts, not the path."""
    space, centre = context.config.space, context.space.centre
    if centre is None:
        return space
    recipe = centre.to_dict()
    del recipe["composite"]["name"]
    return {**space, "around": recipe}


def _images(fingerprint: str, count: int) -> str:
    return f"{count} images ({fingerprint})"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
