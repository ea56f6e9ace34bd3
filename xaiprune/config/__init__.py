"""Typed schemas below the YAML files of ``conf/``, and composing them."""

from xaiprune.config.check import check, check_data
from xaiprune.config.compose import compose, finish, prepare, register_schema
from xaiprune.config.naming import fill_names, study_name
from xaiprune.config.overrides import typed_keys_of
from xaiprune.config.paths import cache_dir, conf_dir
from xaiprune.config.recipe import provenance_of, searched_with, stored_recipe, take_along
from xaiprune.config.renamed import current_names, former_names
from xaiprune.config.schema import (
    AttributionConfig,
    CompositeConfig,
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    PruneConfig,
    StudyConfig,
    UnitsConfig,
)
from xaiprune.config.sweep import Sweep, label_of, sweep_of
from xaiprune.config.tasks import TASKS, TaskSchema
from xaiprune.config.typed import Typed, typed_here

__all__ = [
    "TASKS",
    "AttributionConfig",
    "CompositeConfig",
    "Config",
    "DataConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PruneConfig",
    "StudyConfig",
    "Sweep",
    "TaskSchema",
    "Typed",
    "UnitsConfig",
    "cache_dir",
    "check",
    "check_data",
    "compose",
    "conf_dir",
    "current_names",
    "fill_names",
    "finish",
    "former_names",
    "label_of",
    "prepare",
    "provenance_of",
    "register_schema",
    "searched_with",
    "stored_recipe",
    "study_name",
    "sweep_of",
    "take_along",
    "typed_here",
    "typed_keys_of",
]
