"""``xaiprune train``: train a network on a data source and keep its weights."""

import logging
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import nn

from xaiprune import models, pruning
from xaiprune.config import is_language
from xaiprune.config.tasks import TrainConfig
from xaiprune.data import load_training
from xaiprune.data.source import source_of
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Accuracy, accuracy

log = logging.getLogger(__name__)


_TUNING_EPOCHS = 5  # default for a pruned network: it has been trained already
_TUNING_RATE = 0.1  # of the recipe's learning rate, likewise


def run(config: TrainConfig) -> None:
    """Train on everything that is in neither the validation nor the test split, then measure on both."""
    if is_language(config.model):
        raise XaipruneError(
            "train is for classifiers of images; model=help_llama is trained when it is first used, other "
            "language models with transformers"
        )
    device = models.resolve_device(config.device)
    path = output_path(config)
    if config.model.pruned is not None:
        pruning.check_folder(path)
    torch.manual_seed(config.seed)
    model = _network(config)
    data = load_training(config.data, models.preprocess(model), models.outputs(model))
    settings = training_recipe(config)
    network = config.model.pruned or config.model.name
    log.info("training %s on %d images of %s", network, len(data.train), config.data.source)
    models.train_(model, data.train, data.task, settings, seed=config.seed, device=device)
    found = {
        name: accuracy(model, split, data.task, batch_size=config.data.batch_size, device=device)
        for name, split in (("validation", data.validation), ("test", data.test))
    }
    if config.model.pruned is None:
        models.save_weights(model, path)
    else:
        _save_pruned(model, Path(config.model.pruned).expanduser(), path, settings, found)
    for name, top1 in found.items():
        print(f"{name:<10} top-1 {top1}")
    print(f"weights    {path.resolve()}")


def _network(config: TrainConfig) -> nn.Module:
    """A new network, one from a checkpoint, or a pruned one."""
    if config.model.pruned is not None:
        return pruning.load_pruned(Path(config.model.pruned).expanduser())
    classes = len(source_of(config.data).open(config.data).classes)
    model = models.create(config.model, num_classes=classes)
    if config.model.checkpoint is not None:
        models.load_checkpoint_(model, config.model.checkpoint)
    return model


def _save_pruned(
    model: nn.Module, source: Path, folder: Path, settings: models.TrainingRecipe, found: dict[str, Accuracy]
) -> None:
    """Write a pruned network that was trained on, with its new figures, in the format it was read from."""
    architecture, kwargs, replaced = pruning.architecture_of(source)
    pruning.save_pruned(
        model,
        folder,
        architecture=architecture,
        kwargs=kwargs,
        plan=pruning.load_pruned_plan(source),
        replaced=replaced,
        numbers={f"top-1 on the {name} split": str(top1) for name, top1 in found.items()},
        notes=[
            f"Trained for {settings.epochs} epochs after removal (from {source.name}), "
            f"learning rate {settings.learning_rate:g}."
        ],
    )


def training_recipe(config: TrainConfig) -> models.TrainingRecipe:
    """The network's training recipe (the digits networks have their own), with what the configuration sets.

    A pruned network is trained further: for few epochs, at a tenth of the learning rate.
    """
    name = config.model.name
    if config.model.pruned is not None:
        name, _, _ = pruning.architecture_of(Path(config.model.pruned).expanduser())
    recipe = models.TRAINING_RECIPES.get(name, models.TrainingRecipe())
    if config.model.pruned is not None:
        recipe = replace(recipe, epochs=_TUNING_EPOCHS, learning_rate=_TUNING_RATE * recipe.learning_rate)
    recipe = replace(recipe, flip=source_of(config.data).mirrors)
    names = {item.name for item in fields(models.TrainingRecipe)}
    given = {key: value for key, value in vars(config.train).items() if value is not None and key in names}
    return replace(recipe, **given)


def output_path(config: TrainConfig) -> Path:
    """Where weights are written: ``train.output``, or a name made of model and data (a folder if pruned)."""
    if config.train.output is not None:
        return Path(config.train.output).expanduser()
    source = config.data.source if config.data.root is None else Path(config.data.root).resolve().name
    place = Path(config.output_dir or ".")
    if config.model.pruned is not None:
        return place / f"{Path(config.model.pruned).expanduser().resolve().name}-{source}"
    return place / f"{config.model.name}-{source}.safetensors"
