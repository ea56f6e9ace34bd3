"""xaiprune: hyperparameter optimisation for attribution-guided pruning.

    import xaiprune as xp

    model = xp.load_model("resnet18", checkpoint="resnet18.safetensors")
    data = xp.load_data("image_folder", model, root="photographs")
    units = xp.find_units(model, "inner_filters")
    images, labels = data.reference.tensor(), data.reference.labels
    relevance = xp.attribute(model, images, labels, units, xp.Composite(), task=data.task)
    plan = xp.make_plan(xp.aggregate(relevance), units, rate=0.4)
    small = xp.remove(model, plan, units)
    print(xp.accuracy(small, data.test, data.task), xp.cost(small, images[:1]))

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xaiprune._version import __version__ as __version__

if TYPE_CHECKING:
    from xaiprune.attribution import (
        Aggregation,
        Composite,
        Match,
        aggregate,
        attribute,
        criterion,
        heatmaps,
        load_composite,
        make_rule,
        register_criterion,
        save_composite,
    )
    from xaiprune.comparison import compare
    from xaiprune.config.compose import compose
    from xaiprune.errors import UnsupportedOperation, XaipruneError
    from xaiprune.evaluation.accuracy import accuracy
    from xaiprune.evaluation.cost import cost
    from xaiprune.models import load_data, load_model, load_training_data
    from xaiprune.pruning.compensation import compensate
    from xaiprune.pruning.io.onnx import export_onnx
    from xaiprune.pruning.io.store import load_pruned, save_pruned
    from xaiprune.pruning.mask import masked
    from xaiprune.pruning.plan import Plan, make_plan
    from xaiprune.pruning.removal.cut import remove
    from xaiprune.recipe import PRESETS
    from xaiprune.study import best_trial, recipe_of, search
    from xaiprune.units import find_units

_ROOMS = {
    "attribute": (
        "PRESETS",
        "Aggregation",
        "Composite",
        "Match",
        "aggregate",
        "attribute",
        "criterion",
        "heatmaps",
        "load_composite",
        "make_rule",
        "register_criterion",
        "save_composite",
    ),
    "config": ("compose",),
    "errors": ("UnsupportedOperation", "XaipruneError"),
    "evaluate": ("accuracy", "cost"),
    "models": ("load_data", "load_model", "load_training_data"),
    "prune": (
        "Plan",
        "compensate",
        "export_onnx",
        "load_pruned",
        "make_plan",
        "masked",
        "remove",
        "save_pruned",
    ),
    "search": ("best_trial", "compare", "recipe_of", "search"),
    "units": ("find_units",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "PRESETS",
    "Aggregation",
    "Composite",
    "Match",
    "Plan",
    "UnsupportedOperation",
    "XaipruneError",
    "accuracy",
    "aggregate",
    "attribute",
    "best_trial",
    "compare",
    "compensate",
    "compose",
    "cost",
    "criterion",
    "export_onnx",
    "find_units",
    "heatmaps",
    "load_composite",
    "load_data",
    "load_model",
    "load_pruned",
    "load_training_data",
    "make_plan",
    "make_rule",
    "masked",
    "recipe_of",
    "register_criterion",
    "remove",
    "save_composite",
    "save_pruned",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'xaiprune' has no attribute '{name}'")
    return getattr(import_module(f"xaiprune.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
