"""What ``import xaiprune as xp`` offers: for type checkers, and for loading each name when it is used."""

from ._version import __version__
from .attribution import (
    Aggregation,
    Composite,
    Match,
    Relevance,
    TokenTargets,
    aggregate,
    attribute,
    attribute_text,
    attribute_text_units,
    collect_unit_texts,
    conservation,
    criterion,
    explain,
    heatmaps,
    load_composite,
    make_rule,
    save_composite,
)
from .attribution.lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus
from .comparison import compare
from .config import compose
from .data import Dataset, LabelledImages, Task
from .errors import UnsupportedOperation, XaipruneError
from .evaluation import accuracy, cost
from .models import load_data, load_model, load_training_data, open_language_model
from .pruning import Plan, compensate, export_onnx, load_pruned, make_plan, masked, remove, save_pruned
from .recipe import PRESETS, Recipe, load_recipe, save_recipe
from .registry import (
    register_criterion,
    register_objective,
    register_operation,
    register_rule,
    register_source,
    register_unit_kind,
)
from .session import Outcome, PruningSession, prune
from .space import search_space, suggest
from .study import best_recipe, best_trial, recipe_of, search
from .units import find_units

__all__ = [
    "PRESETS",
    "Aggregation",
    "AlphaBeta",
    "Composite",
    "Dataset",
    "Epsilon",
    "Flat",
    "Gamma",
    "LabelledImages",
    "Match",
    "Outcome",
    "Plan",
    "PruningSession",
    "Recipe",
    "Relevance",
    "Rule",
    "Task",
    "TokenTargets",
    "UnsupportedOperation",
    "WSquare",
    "XaipruneError",
    "ZBox",
    "ZPlus",
    "__version__",
    "accuracy",
    "aggregate",
    "attribute",
    "attribute_text",
    "attribute_text_units",
    "best_recipe",
    "best_trial",
    "collect_unit_texts",
    "compare",
    "compensate",
    "compose",
    "conservation",
    "cost",
    "criterion",
    "explain",
    "export_onnx",
    "find_units",
    "heatmaps",
    "load_composite",
    "load_data",
    "load_model",
    "load_pruned",
    "load_recipe",
    "load_training_data",
    "make_plan",
    "make_rule",
    "masked",
    "open_language_model",
    "prune",
    "recipe_of",
    "register_criterion",
    "register_objective",
    "register_operation",
    "register_rule",
    "register_source",
    "register_unit_kind",
    "remove",
    "save_composite",
    "save_pruned",
    "save_recipe",
    "search",
    "search_space",
    "suggest",
]
