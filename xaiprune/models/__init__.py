"""timm networks, their weights, and the small ones that train on the spot."""

from xaiprune.models.by_name import load_data, load_model, load_training_data
from xaiprune.models.checkpoint import load_checkpoint_
from xaiprune.models.device import device_of_worker, resolve_device
from xaiprune.models.digits import TRAINING_RECIPES, save_weights, train_digits, trained_weights
from xaiprune.models.fingerprint import fingerprint
from xaiprune.models.language import LanguageModel, open_language_model
from xaiprune.models.language_files import (
    copy_tokenizer,
    description_of,
    network_of,
    write_for_transformers,
)
from xaiprune.models.load import create, language_path, load
from xaiprune.models.origin import Origin, origin_of
from xaiprune.models.preprocess import outputs, preprocess
from xaiprune.models.setup import Setup, read_text, setup
from xaiprune.models.train import TrainingRecipe, train_

__all__ = [
    "TRAINING_RECIPES",
    "LanguageModel",
    "Origin",
    "Setup",
    "TrainingRecipe",
    "copy_tokenizer",
    "create",
    "description_of",
    "device_of_worker",
    "fingerprint",
    "language_path",
    "load",
    "load_checkpoint_",
    "load_data",
    "load_model",
    "load_training_data",
    "network_of",
    "open_language_model",
    "origin_of",
    "outputs",
    "preprocess",
    "read_text",
    "resolve_device",
    "save_weights",
    "setup",
    "train_",
    "train_digits",
    "trained_weights",
    "write_for_transformers",
]
