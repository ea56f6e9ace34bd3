"""What can be added by name: rules, criteria, unit kinds, data sources, objectives, operations.

Each kind has one `Registry`. It knows its own entries by the module that registers them and imports that
module when an entry is first used, so that listing names costs nothing. Further entries are registered by a
decorator, in a user's own module (``imports: [my_module]`` in a configuration) as in ours; docs/extending.md
shows one of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

from xaiprune.errors import XaipruneError, did_you_mean

Entry = TypeVar("Entry")


class Registry(Mapping[str, Any]):
    """Entries of one kind by name, in the order in which they are listed to people.

    Args:
        kind: What an entry is, for messages: ``criterion``.
        modules: Name of each entry that xaiprune brings along -> the module that registers it.
        unlisted: Modules that register entries whose names are not listed above; all of them are imported
            when any entry is first asked for.
    """

    def __init__(self, kind: str, modules: Mapping[str, str], unlisted: Sequence[str] = ()) -> None:
        self.kind = kind
        self._modules = dict(modules)
        self._unlisted = list(unlisted)
        self._entries: dict[str, Any] = {}

    def register(self, *names: str) -> Callable[[Entry], Entry]:
        """A decorator that makes an entry available under one or several names.

        A name that a user's module has registered before is replaced, so that a notebook's cell can run
        again.

        Raises:
            XaipruneError: The name belongs to an entry that xaiprune brings along.
        """

        def add(entry: Entry) -> Entry:
            own = getattr(entry, "__module__", "").partition(".")[0] == __package__
            for name in names:
                if not own and self._is_built_in(name):
                    raise XaipruneError(f"{self.kind} '{name}' is taken; register yours under another name")
                self._entries[name] = entry
            return entry

        return add

    def unregister(self, name: str) -> None:
        """Remove an entry that a user's module has registered.

        Raises:
            XaipruneError: There is none, or it belongs to xaiprune.
        """
        if self._is_built_in(name) or name not in self._entries:
            raise XaipruneError(f"there is no {self.kind} '{name}' that could be removed")
        del self._entries[name]

    def __getitem__(self, name: str) -> Any:
        """The entry of that name; KeyError where there is none (`find` says it to people)."""
        if name not in self._entries:
            if name in self._modules:
                import_module(self._modules[name])
            else:
                self._load_unlisted()
        return self._entries[name]

    def find(self, name: str, key: str | None = None) -> Any:
        """The entry of that name.

        Args:
            name: As registered.
            key: The configuration key that named it, for the error.

        Raises:
            XaipruneError: There is none; names the closest.
        """
        try:
            return self[name]
        except KeyError:
            closest = did_you_mean(name, self) or f"; choose from {', '.join(self)}"
            where = f"{key}={name} is unknown" if key else f"unknown {self.kind} '{name}'"
            raise XaipruneError(f"{where}{closest}") from None

    def parts(self, name: str) -> list[str]:
        """The names that are joined by ``+`` in a name; a registered name is one, whatever is in it."""
        return [name] if name in self else name.split("+")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._modules, *self._entries]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._entries

    def _load_unlisted(self) -> None:
        for module in self._unlisted:
            import_module(module)

    def _is_built_in(self, name: str) -> bool:
        self._load_unlisted()
        entry = self._entries.get(name)
        return name in self._modules or getattr(entry, "__module__", "").partition(".")[0] == __package__


def _in_one(module: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, module)


_RULES = "xaiprune.attribution.lrp.rules"
_CRITERIA = "xaiprune.attribution.criteria"
_UNITS = "xaiprune.units.kinds"
_OBJECTIVES = "xaiprune.trial.objectives"
_SOURCES = "xaiprune.data.sources"
_OPERATIONS = "xaiprune.attribution.lrp.ops"
_PEERS = "xaiprune.comparison.peers"

RULES = Registry("rule", _in_one(_RULES, "epsilon", "gamma", "zplus", "alphabeta", "flat", "wsquare", "zbox"))
CRITERIA = Registry(
    "criterion",
    {
        **_in_one(f"{_CRITERIA}.activations", "activation", "variance"),
        "fluctuation": f"{_CRITERIA}.fluctuation",
        **_in_one(f"{_CRITERIA}.gradients", "taylor", "fisher", "gradient", "integrated_gradients"),
        **_in_one(f"{_CRITERIA}.wanda", "wanda"),
        **_in_one(f"{_CRITERIA}.weights", "random", "magnitude_l1", "magnitude_l2"),
    },
)
UNIT_KINDS = Registry(
    "unit kind",
    _in_one(_UNITS, "filters", "inner_filters", "neurons", "heads", "neurons+heads", "linear_outputs"),
)
SOURCES = Registry(
    "data source",
    {
        "digits": f"{_SOURCES}.digits",
        "image_folder": f"{_SOURCES}.folder",
        "imagenet": f"{_SOURCES}.imagenet",
        "python_help": f"{_SOURCES}.python_help",
        "text": f"{_SOURCES}.text",
        "text_classification": f"{_SOURCES}.text_classification",
    },
)
OBJECTIVES = Registry(
    "objective",
    {
        "top1_at_rate": f"{_OBJECTIVES}.top1_at_rate",
        "perplexity": f"{_OBJECTIVES}.perplexity",
        **_in_one(f"{_OBJECTIVES}.curve", "curve_mean", "curve_trapezoid"),
        "max_rate_at_drop": f"{_OBJECTIVES}.max_rate_at_drop",
        "faithfulness": f"{_OBJECTIVES}.faithfulness",
        "agreement": f"{_OBJECTIVES}.agreement",
    },
)
OPERATIONS = Registry(
    "operation",
    {},
    [
        f"{_OPERATIONS}.{name}"
        for name in ["activation", "attention", "linear", "multi_head", "norm", "plain", "powers", "products"]
    ],
)
# Methods of other people that comparisons can run. Criteria are how people add their own.
PEERS = Registry(
    "peer",
    _in_one(
        _PEERS, "wanda", "flap", "vbp", "corp", "grail", "thinet", "tp_group_taylor", "tp_group_magnitude"
    ),
)

REGISTRIES = (RULES, CRITERIA, UNIT_KINDS, SOURCES, OBJECTIVES, OPERATIONS)

register_rule = RULES.register
register_criterion = CRITERIA.register
register_unit_kind = UNIT_KINDS.register
register_source = SOURCES.register
register_objective = OBJECTIVES.register
register_operation = OPERATIONS.register
