"""The digits networks with their weights: trained at first use, then kept in the cache."""

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path

import sklearn
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from xaiprune.config import DataConfig, cache_dir
from xaiprune.data import load_training
from xaiprune.files import replacing
from xaiprune.models import small
from xaiprune.models.preprocess import preprocess
from xaiprune.models.train import TrainingRecipe, train_

log = logging.getLogger(__name__)

# Chosen on the validation part. Digits must not be mirrored.
TRAINING_RECIPES: dict[str, TrainingRecipe] = {
    "digits_vgg": TrainingRecipe(epochs=8, learning_rate=2e-3, flip=False),
    "digits_resnet": TrainingRecipe(epochs=12, learning_rate=3e-3, flip=False),
    "digits_vit": TrainingRecipe(epochs=50, learning_rate=2e-3, shift=0.04, flip=False),
}


def trained_weights(name: str, *, seed: int = 0, cache: str | None = None) -> Path:
    """The weights file of a digits network, which is trained now if the cache does not have it.

    Args:
        name: ``digits_vgg``, ``digits_resnet`` or ``digits_vit``.
        seed: Of the initial weights and of the training.
        cache: ``data.cache_dir``.
    """
    folder = cache_dir(cache) / "networks"
    path = folder / f"{name}-{_key(name, seed)}.safetensors"
    if not path.is_file():
        log.info("training %s on the digits, once (kept in %s)", name, folder)
        model = train_digits(name, seed=seed, cache=cache)
        save_weights(model, path)
    return path


def train_digits(name: str, *, seed: int = 0, cache: str | None = None) -> nn.Module:
    """A digits network trained on the digits' train part; in eval mode.

    It is trained on one thread: so small a network gains little from more, on a busy machine threads would
    wait for each other, and the weights do not depend on the number of threads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(small, name)()
    data = load_training(DataConfig(source="digits", cache_dir=cache), preprocess(model))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_(model, data.train, data.task, TRAINING_RECIPES[name], seed=seed)
    finally:
        torch.set_num_threads(threads)
    return model


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors; complete, or not at all."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(weights, temporary)


def _key(name: str, seed: int) -> str:
    # How the networks are built and trained.
    source = "".join(Path(__file__).with_name(file).read_text() for file in ("small.py", "train.py"))
    versions = (torch.__version__, timm.__version__, sklearn.__version__)
    text = f"{name} {seed} {asdict(TRAINING_RECIPES[name])} {versions} {source}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
