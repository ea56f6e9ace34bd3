"""``xaiprune train``: train a network on a data source and keep its weights."""

import logging
from dataclasses import fields, replace
from pathlib import Path

import torch

from xaiprune import models
from xaiprune.config.tasks import TrainConfig
from xaiprune.data import SOURCES, load_training
from xaiprune.evaluate import accuracy

log = logging.getLogger(__name__)


def run(config: TrainConfig) -> None:
    """Train on everything that is in neither the validation nor the test split, then measure on both."""
    device = models.resolve_device(config.device)
    classes = len(SOURCES[config.data.source](config.data).classes)
    torch.manual_seed(config.seed)
    model = models.create(config.model, num_classes=classes)
    if config.model.checkpoint is not None:
        models.load_checkpoint_(model, config.model.checkpoint)
    data = load_training(config.data, models.preprocess(model), models.outputs(model))
    recipe = recipe_of(config)
    log.info("training %s on %d images of %s", config.model.name, len(data.train), config.data.source)
    models.train_(model, data.train, data.task, recipe, seed=config.seed, device=device)
    path = output_path(config)
    models.save_weights(model, path)
    for name, split in (("validation", data.validation), ("test", data.test)):
        found = accuracy(model, split, data.task, batch_size=config.data.batch_size, device=device)
        print(f"{name:<10} top-1 {found}")
    print(f"weights    {path.resolve()}")


def recipe_of(config: TrainConfig) -> models.Recipe:
    """The network's own recipe (the digits networks have one), with what the configuration sets."""
    recipe = models.RECIPES.get(config.model.name, models.Recipe())
    recipe = replace(recipe, flip=config.data.source != "digits")  # a mirrored digit is another or none
    known = {item.name for item in fields(models.Recipe)}
    given = {key: value for key, value in vars(config.train).items() if value is not None and key in known}
    return replace(recipe, **given)


def output_path(config: TrainConfig) -> Path:
    """Where the weights go: ``train.output``, or a name made of model and data."""
    if config.train.output is not None:
        return Path(config.train.output).expanduser()
    source = config.data.source if config.data.root is None else Path(config.data.root).resolve().name
    return Path(config.output_dir or ".") / f"{config.model.name}-{source}.safetensors"
