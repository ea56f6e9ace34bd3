"""xaiprune: hyperparameter optimisation for attribution-guided pruning.

    import xaiprune as xp

    model = xp.load_model("resnet18", checkpoint="resnet18.safetensors")
    units = xp.find_units(model, "inner_filters")
    relevance = xp.attribute(model, images, labels, units, xp.Composite())
    plan = xp.make_plan(xp.aggregate(relevance), units, rate=0.4)
    small = xp.remove(model, plan, units)

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from xaiprune.attribute import PRESETS, Aggregation, Composite, aggregate, attribute, criterion
    from xaiprune.errors import UnsupportedOperation, XaipruneError
    from xaiprune.evaluate.accuracy import accuracy
    from xaiprune.evaluate.cost import cost
    from xaiprune.models import load_model
    from xaiprune.prune.compensate import compensate
    from xaiprune.prune.mask import masked
    from xaiprune.prune.plan import Plan, make_plan
    from xaiprune.prune.remove import remove
    from xaiprune.prune.store import load_pruned, save_pruned
    from xaiprune.search import search
    from xaiprune.units import find_units

_ROOMS = {
    "attribute": ("PRESETS", "Aggregation", "Composite", "aggregate", "attribute", "criterion"),
    "errors": ("UnsupportedOperation", "XaipruneError"),
    "evaluate": ("accuracy", "cost"),
    "models": ("load_model",),
    "prune": ("Plan", "compensate", "load_pruned", "make_plan", "masked", "remove", "save_pruned"),
    "search": ("search",),
    "units": ("find_units",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "PRESETS",
    "Aggregation",
    "Composite",
    "Plan",
    "UnsupportedOperation",
    "XaipruneError",
    "accuracy",
    "aggregate",
    "attribute",
    "compensate",
    "cost",
    "criterion",
    "find_units",
    "load_model",
    "load_pruned",
    "make_plan",
    "masked",
    "remove",
    "save_pruned",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'xaiprune' has no attribute '{name}'")
    return getattr(import_module(f"xaiprune.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
