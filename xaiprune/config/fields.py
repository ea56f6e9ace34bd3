"""Field helpers of the schemas: a default together with what values are allowed.

OmegaConf checks types; ranges and choices are kept in the dataclass field's metadata and checked by
`xaiprune.config.check`, so that a schema reads as one line per key.
"""

from collections import ChainMap
from collections.abc import Callable, Collection
from dataclasses import Field, dataclass, field
from numbers import Integral
from typing import Any, get_args

from xaiprune.registry import Registry

RULE = "xaiprune_rule"


@dataclass(frozen=True)
class Rule:
    """What a value must satisfy, beyond its type.

    Attributes:
        allows: True for a value that is fine. Never called with None.
        description: Completes "KEY must be ..." in the error; empty where there are choices.
        choices: The valid values, where they can be listed. A registry grows as people register entries.
    """

    allows: Callable[[Any], bool]
    description: str = ""
    choices: Collection[str] = ()

    @property
    def text(self) -> str:
        """Completes "KEY must be ..." in the error."""
        return self.description or f"one of {', '.join(self.choices)}"


def rule_of(item: Field[Any], value: Any) -> Rule:
    """What a value of a schema's field must satisfy: of counts first of all that it is a whole number.

    The command line's values have their type already; those of recipe files and of Python may have any.
    """
    counts = int in (get_args(item.type) or (item.type,))
    if counts and (isinstance(value, bool) or not isinstance(value, Integral)):
        return Rule(lambda _: False, "a whole number")
    rule: Rule = item.metadata[RULE]
    return rule


def one_of(default: str | None, *choices: str) -> Any:
    """A field whose value is one of ``choices`` (or None, if that is the default)."""
    return field(default=default, metadata={RULE: Rule(lambda value: value in choices, choices=choices)})


def registered(default: str, registry: Registry, *also: str, combined: bool = False) -> Any:
    """A field whose value is a name in a registry, as it is when the value is checked.

    Args:
        default: One of the names.
        registry: Xaiprune's entries and those that people have registered.
        also: Further values, each by itself.
        combined: Several names may be joined by ``+``.
    """

    def allows(value: str) -> bool:
        names = registry.parts(value) if combined else [value]
        return value in also or all(part in registry for part in names)

    # A view, since entries may be registered later; the last map is listed first.
    choices: Collection[str] = ChainMap(registry, dict.fromkeys(also))  # type: ignore[arg-type]
    return field(default=default, metadata={RULE: Rule(allows, choices=choices)})


def within(default: Any, low: float, high: float = float("inf"), *, ends: str = "[]") -> Any:
    """A number between ``low`` and ``high``; ``ends`` says which ends belong to it, as in ``[)``."""

    def allows(value: float) -> bool:
        above = value >= low if ends[0] == "[" else value > low
        below = value <= high if ends[1] == "]" else value < high
        return above and below

    if high == float("inf"):
        text = f"{'at least' if ends[0] == '[' else 'greater than'} {low:g}"
    else:
        text = f"in {ends[0]}{low:g}, {high:g}{ends[1]}"
    return field(default=default, metadata={RULE: Rule(allows, text)})


def each_within(default: Any, low: float, high: float, *, ends: str = "[]", length: int | None = None) -> Any:
    """A list (or None) of numbers that all lie between ``low`` and ``high``."""
    single: Rule = within(0.0, low, high, ends=ends).metadata[RULE]
    count = f"{length} numbers" if length else "a list of numbers"

    def allows(values: list[float]) -> bool:
        return (
            len(values) > 0 and (length is None or len(values) == length) and all(map(single.allows, values))
        )

    metadata = {RULE: Rule(allows, f"{count}, each {single.text}")}
    if callable(default):  # a list as default needs a factory
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def each_of(*choices: str) -> Any:
    """A list of one or several of ``choices``; None by default."""
    rule = Rule(
        lambda values: len(values) > 0 and all(value in choices for value in values),
        f"a list of {', '.join(choices)}",
    )
    return field(default=None, metadata={RULE: rule})


def some_of(registry: Registry) -> Any:
    """A list of names in a registry, one name, or ``all``; None by default."""

    def allows(value: Any) -> bool:
        names = [value] if isinstance(value, str) else value
        return isinstance(names, list) and all(name == "all" or name in registry for name in names)

    return field(default=None, metadata={RULE: Rule(allows, f"all, or a list of {', '.join(registry)}")})


def factors_of(what: str) -> Any:
    """A dictionary of factors above zero; empty by default.

    Args:
        what: Whose factors they are, for the error. Whether names exist is checked where factors are used.
    """

    def allows(values: dict[str, float]) -> bool:
        return all(0 < factor < float("inf") for factor in values.values())

    rule = Rule(allows, f"factors above zero of {what}")
    return field(default_factory=dict, metadata={RULE: rule})
