"""Hydra's and OmegaConf's exceptions, as one line that names the key."""

import difflib
import re
from collections.abc import Iterable
from itertools import chain

from hydra.errors import HydraException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from xaiprune.errors import XaipruneError, did_you_mean

_CONVERSION = re.compile(r"Value '(.*)' of type '.*' could not be converted to (\w+)", re.DOTALL)
_FILE = re.compile(r"In '([^']+)'")
_NO_LAUNCHER = re.compile(r"Could not find 'hydra/launcher/(\w+)'")
_LAUNCHER_EXTRAS = {"joblib": "launchers", "submitit": "launchers", "ray": "ray"}
_NO_BOOL = re.compile(r"Value '(.*)' is not a valid bool")
_WANTED = {"Float": "a number", "Integer": "a whole number", "Boolean": "true or false", "String": "text"}


def as_one_line(error: HydraException | OmegaConfBaseException, keys: Iterable[str]) -> XaipruneError:
    """An exception raised while a configuration was composed, as one line for people.

    Args:
        error: The exception as Hydra raised it, with OmegaConf's as its cause.
        keys: All valid keys, for the closest one.
    """
    cause = _omegaconf_cause(error)
    if missing := _NO_LAUNCHER.search(str(error)):
        return _no_launcher(missing.group(1))
    if cause is None or not cause.full_key:
        return XaipruneError(" ".join(str(error).split()))
    key = cause.full_key
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        where = _FILE.match(str(error))  # None if the key was typed
        return unknown_key(key, keys, f" in {where.group(1)}.yaml" if where else "")
    if isinstance(cause, MissingMandatoryValue):
        return XaipruneError(f"{key} is required")
    message = str(cause).splitlines()[0]  # the lines below name OmegaConf's types
    if isinstance(cause, ValidationError) and (found := _CONVERSION.search(message)):
        value, wanted = found.groups()
        return XaipruneError(f"{key} must be {_WANTED.get(wanted, wanted)}, got {value}")
    if isinstance(cause, ValidationError) and (found := _NO_BOOL.search(message)):
        return XaipruneError(f"{key} must be true or false, got {found.group(1)}")
    return XaipruneError(f"{key}: {message}")


def unknown_key(key: str, keys: Iterable[str], where: str = "") -> XaipruneError:
    """The error for a key that the schema does not have."""
    if key.rpartition(".")[2] == "criterion":  # a ranking is a recipe; other criteria are compared with it
        return XaipruneError(
            f"unknown key '{key}'{where}; recipe=NAME says how units are ranked (recipe=taylor), and "
            "compare.criteria=[NAME] compares baseline criteria"
        )
    closest = closest_key(key, keys)
    return XaipruneError(f"unknown key '{key}'{where}{closest or '; --cfg job lists the valid ones'}")


def closest_key(key: str, keys: Iterable[str]) -> str:
    """``"; did you mean 'prune.rate'?"`` for ``rate``: the last part counts first; empty if none is close."""
    section, _, last = key.rpartition(".")
    by_last: dict[str, list[str]] = {}
    for valid in keys:
        by_last.setdefault(valid.rpartition(".")[2], []).append(valid)
    if last not in by_last and section and (whole := did_you_mean(key, chain(*by_last.values()))):
        return whole
    alike = difflib.get_close_matches(last, by_last, n=1)
    return did_you_mean(key, by_last[alike[0]], cutoff=0) if alike else ""


def _no_launcher(name: str) -> XaipruneError:
    extra = _LAUNCHER_EXTRAS.get(name.partition("_")[0])
    if extra is None:
        known = ("joblib", "submitit_local", "submitit_slurm", "ray")
        return XaipruneError(f"unknown launcher '{name}'{did_you_mean(name, known)}")
    return XaipruneError(f"hydra/launcher={name} is not installed; pip install 'xaiprune[{extra}]'")


def _omegaconf_cause(error: BaseException | None) -> OmegaConfBaseException | None:
    while error is not None and not isinstance(error, OmegaConfBaseException):
        error = error.__cause__ or error.__context__  # Hydra does not always raise from its cause
    return error
