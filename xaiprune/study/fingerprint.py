"""What a study's values depend on, so that two set-ups never mix under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import optuna

from xaiprune.config import CompletePruneConfig, Config, current_names
from xaiprune.errors import XaipruneError

if TYPE_CHECKING:
    from xaiprune.data import LabelledImages
    from xaiprune.session import PruningSession
    from xaiprune.trial import SearchSetup

_SHOWN = 6  # differences named in the error


def fingerprint_of(setup: SearchSetup) -> dict[str, Any]:
    """Plain data: equal for set-ups whose trials can be compared.

    Sampler, seed, device, batch sizes and the number of trials are not part of it: they may change from
    one run to the next.
    """
    session = setup.session
    found = session_fingerprint(setup.config, session)
    found["data"]["validation"] = images_noted(session.validation)
    objective = setup.objective.settings()
    if setup.precision != "float32":
        objective["precision"] = setup.precision
    return {**found, "objective": objective, "space": _space(setup), "attribution": _attribution(setup)}


def session_fingerprint(config: Config, session: PruningSession) -> dict[str, Any]:
    """The part of a fingerprint that says what is pruned, how, and with which images.

    The images that trials are scored on are not part of it.

    Args:
        config: Of any task.
        session: As opened for it.
    """
    prune = {key: getattr(session.prune, key) for key in ("rate", "budget", "scope", "min_units")}
    plain = CompletePruneConfig()
    for key in ("compensate", "sequential", "coupled", "bn", "rounds", "order", "relevance_per", "multiple"):
        # Defaults are left out, so that old studies still match after a setting is added.
        if (value := getattr(session.prune, key)) != getattr(plain, key):
            prune[key] = value
    dataset, calibration = session.dataset, session.dense.calibration
    images = {"reference": dataset.reference, "test": dataset.test}
    if calibration is not None:
        images["calibration"] = calibration
    return {
        "model": {"name": session.name, "weights": session.network},
        "data": {
            "classes": list(dataset.task.classes),
            "logits": None if dataset.task.logits is None else list(dataset.task.logits),
            **{name: images_noted(split) for name, split in images.items()},
        },
        "units": {**asdict(config.units), "kind": session.unit_kind, "found": session.unit_count},
        "prune": prune,
    }


def stored_prune(study: optuna.Study) -> dict[str, Any]:
    """How a study's trials prune where their recipes do not say it: settings of the ``prune`` section."""
    return {**asdict(CompletePruneConfig()), **(stored_fingerprint(study) or {}).get("prune", {})}


def stored_fingerprint(study: optuna.Study) -> dict[str, Any] | None:
    """A study's fingerprint with the current names of settings; None where it has none."""
    found = study.user_attrs.get("fingerprint")
    if found is None:
        return None
    return {**found, "prune": current_names("prune", found.get("prune", {}))}


def check_same(
    stored: Mapping[str, Any],
    current: Mapping[str, Any],
    name: str,
    storage: str,
    remedy: str = "Set study.name=ANOTHER_NAME for a new study, or go back to the old set-up",
) -> None:
    """Refuse to continue a study that was made with another set-up.

    Args:
        stored: Fingerprint of the study.
        current: Of what is asked for now.
        name: Of the study.
        storage: Its URL.
        remedy: What the error says to do.

    Raises:
        XaipruneError: Names what differs, field by field, and the ways out.
    """
    found = list(differences(stored, current))
    if not found:
        return
    shown = "; ".join(f"{key} was {_short(old)}, now {_short(new)}" for key, old, new in found[:_SHOWN])
    new = [key for key, old, _ in found if old is None and key.startswith("space.") and key.count(".") == 1]
    if len(new) == len(found):
        remedy = (
            f"To go on without what it does not search: {' '.join(f'{key}=null' for key in new)}. {remedy}"
        )
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise XaipruneError(f"study '{name}' in {storage} was made with another set-up: {shown}{more}. {remedy}")


def differences(stored: Any, current: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, stored value, current value) of everything that differs; a missing value is None."""
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        for name in dict.fromkeys([*stored, *current]):
            yield from differences(stored.get(name), current.get(name), f"{key}.{name}" if key else name)
    elif stored != current:
        yield key, stored, current


def _attribution(setup: SearchSetup) -> dict[str, Any]:
    """The recipe's, or configured, values of what the space does not list."""
    config = setup.config
    if setup.space.centre is not None:
        return {}
    found: dict[str, Any] = dict(setup.session.recipe.attribution)
    for key in ("scale", "references"):
        if value := getattr(config.attribution, key):
            found[key] = value
    return {key: value for key, value in found.items() if config.space.get(key) is None}


def _space(setup: SearchSetup) -> dict[str, Any]:
    """The space as configured; of a file that it lies around, the content counts, not the path."""
    space, centre = setup.config.space, setup.space.centre
    if centre is None:
        return space
    recipe = centre.to_dict()
    del recipe["composite"]["name"]
    return {**space, "around": recipe}


def images_noted(split: LabelledImages) -> str:
    """Images as a fingerprint has them: ``100 images (0123456789abcdef)``."""
    return f"{len(split)} images ({split.fingerprint()})"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
