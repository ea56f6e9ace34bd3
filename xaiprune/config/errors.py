"""Hydra's and OmegaConf's exceptions, as one line that names the key."""

import re
from collections.abc import Iterable

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
    closest = did_you_mean(key, keys)
    return XaipruneError(f"unknown key '{key}'{where}{closest or '; --cfg job lists the valid ones'}")


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
