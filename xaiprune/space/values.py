"""Values of a space's YAML, checked: keys, choices, numbers and what they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.space.numbers import Fixed, Number, OneOf, Range

Reader = Callable[[str, Any], tuple[Any, ...]]
"""(key, what it is in YAML) -> the choices that it names; refuses any others."""


def one_of(*known: str) -> Reader:
    """Reads one name or several."""

    def read(key: str, value: Any) -> tuple[str, ...]:
        choices = texts(value)
        if not choices:
            raise XaipruneError(f"{key} must name at least one of {', '.join(known)}")
        for choice in choices:
            check_value(key, choice, known)
        return tuple(dict.fromkeys(choices))

    return read


def whole_number(what: str) -> Reader:
    """Reads one whole number or several, from 1."""
    return _listed(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1, f"whole numbers {what}, from 1"
    )


def true_or_false(key: str, value: Any) -> tuple[bool, ...]:
    """Reads true, false or both."""
    return _listed(lambda v: isinstance(v, bool), "true or false")(key, value)


def _listed(allows: Callable[[Any], bool], what: str) -> Reader:
    def read(key: str, value: Any) -> tuple[Any, ...]:
        values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for single in values or [None]:
            if not allows(single):
                raise XaipruneError(f"{key} must be {what}, got {value!r}")
        return tuple(dict.fromkeys(values))

    return read


def number_of(key: str, value: Any, *, log: bool = False) -> Number:
    """A fixed number, one of several, or a range.

    Args:
        key: Named in errors.
        value: ``0.1``, ``[0.1, 1]`` or ``{low: 0.1, high: 1, log: true}``.
        log: What ``log`` is where it is left out.

    Raises:
        XaipruneError: It is none of these.
    """
    if isinstance(value, Mapping):
        check_keys(key, value, ("low", "high", "log"))
        if "low" not in value or "high" not in value:
            raise XaipruneError(f"{key} must give low and high")
        low, high = float_of(f"{key}.low", value["low"]), float_of(f"{key}.high", value["high"])
        log = bool(value.get("log", log))
        if low >= high or (log and low <= 0):
            above = " above zero" if log else ""
            raise XaipruneError(f"{key}: low must lie below high{above}, got {low:g} and {high:g}")
        return Range(low, high, log)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise XaipruneError(f"{key} must not be empty")
        values = tuple(float_of(key, v) for v in value)
        return OneOf(values) if len(values) > 1 else Fixed(values[0])
    return Fixed(float_of(key, value))


def float_of(key: str, value: Any) -> float:
    """A finite number.

    Raises:
        XaipruneError: It is none.
    """
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # YAML 1.1 reads 1e-6 as text
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise XaipruneError(
            f"{key} must be a number, a list of numbers, or {{low: , high: , log: }}, got {value!r}"
        )
    return number


def extremes(number: Number) -> tuple[float, ...]:
    """The values that decide whether all of a number's values are allowed."""
    if isinstance(number, Range):
        return number.low, number.high
    return number.values if isinstance(number, OneOf) else (number.value,)


def texts(value: Any) -> tuple[str, ...]:
    """One text or several, as a tuple."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(str(v) for v in value) if several else (str(value),)


def check_keys(key: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a key that a section does not have.

    Raises:
        XaipruneError: Names it and the closest that there is.
    """
    known = list(known)
    for name in data:
        if name not in known:
            closest = did_you_mean(str(name), known) or f"; it has {', '.join(known)}"
            raise XaipruneError(f"unknown key '{key}.{name}'{closest}")


def check_value(key: str, value: str, known: Iterable[str]) -> None:
    """Refuse a value that is not among the known ones.

    Raises:
        XaipruneError: Names the key, the value and the closest that there is.
    """
    known = list(known)
    if value not in known:
        closest = did_you_mean(value, known)
        raise XaipruneError(f"{key} must be one of {', '.join(known)}, got '{value}'{closest}")
