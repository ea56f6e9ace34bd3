"""Typed schemas behind the YAML files of ``conf/``, and composing them."""

from xaiprune.config.check import check, check_data, checked_section
from xaiprune.config.command_line import CommandLine, current_command_line, without_config_dir
from xaiprune.config.compose import compose, finish, prepare, register_schema
from xaiprune.config.imports import import_modules
from xaiprune.config.naming import FIXED_FILES, default_storage, fill_names, study_name
from xaiprune.config.options import HELP_LLAMA, HUGGING_FACE, is_language
from xaiprune.config.overrides import as_override, command, overridden_keys
from xaiprune.config.paths import cache_dir, conf_dir, split_roots
from xaiprune.config.recipe_file import (
    AGGREGATION,
    AUTO_RECIPE,
    COMPOSITE_SCHEMA,
    PAPER_RECIPE,
    RECIPE_KEYS,
    RECIPE_PRUNE,
    RECIPE_SCHEMA,
    is_file_name,
    provenance_of,
    stored_recipe,
    take_recipe,
    use_recipe,
)
from xaiprune.config.renamed import RENAMED, current_names, former_names
from xaiprune.config.schema import (
    AttributionConfig,
    CompletePruneConfig,
    CompositeConfig,
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    PruneConfig,
    StudyConfig,
    UnitsConfig,
)
from xaiprune.config.searched import set_by_prune
from xaiprune.config.sweep import Sweep, label_of, named_of, sweep_of
from xaiprune.config.tasks import TASKS, TaskSchema

__all__ = [
    "AGGREGATION",
    "AUTO_RECIPE",
    "COMPOSITE_SCHEMA",
    "FIXED_FILES",
    "HELP_LLAMA",
    "HUGGING_FACE",
    "PAPER_RECIPE",
    "RECIPE_KEYS",
    "RECIPE_PRUNE",
    "RECIPE_SCHEMA",
    "RENAMED",
    "TASKS",
    "AttributionConfig",
    "CommandLine",
    "CompletePruneConfig",
    "CompositeConfig",
    "Config",
    "DataConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PruneConfig",
    "StudyConfig",
    "Sweep",
    "TaskSchema",
    "UnitsConfig",
    "as_override",
    "cache_dir",
    "check",
    "check_data",
    "checked_section",
    "command",
    "compose",
    "conf_dir",
    "current_command_line",
    "current_names",
    "default_storage",
    "fill_names",
    "finish",
    "former_names",
    "import_modules",
    "is_file_name",
    "is_language",
    "label_of",
    "named_of",
    "overridden_keys",
    "prepare",
    "provenance_of",
    "register_schema",
    "set_by_prune",
    "split_roots",
    "stored_recipe",
    "study_name",
    "sweep_of",
    "take_recipe",
    "use_recipe",
    "without_config_dir",
]
