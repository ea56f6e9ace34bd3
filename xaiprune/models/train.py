"""Train a classifier from scratch: AdamW, warm-up and cosine schedule, small random transforms."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from xaiprune.data import LabelledImages, Task, progress


@dataclass(frozen=True)
class TrainingRecipe:
    """How to train.

    Attributes:
        epochs: Passes over the images.
        learning_rate: At its peak.
        weight_decay: AdamW's, on weights but not on biases and norms.
        label_smoothing: Of the cross-entropy.
        shift: Random shifts up to this part of the image's side.
        flip: Mirror half of the images left to right.
        batch_size: Images in a step.
        warmup: Part of all steps in which the learning rate rises.
    """

    epochs: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    shift: float = 0.08
    flip: bool = True
    batch_size: int = 64
    warmup: float = 0.1


def train_(
    model: nn.Module,
    images: LabelledImages,
    task: Task,
    recipe: TrainingRecipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    """Train the network in place; it ends on ``device``, in eval mode.

    Args:
        model: Any classifier whose outputs ``task`` knows.
        images: What to learn from.
        task: Which output each label is.
        recipe: How.
        seed: Of the order and the random transforms; the initial weights are the caller's.
        device: Where to train.
    """
    generator = torch.Generator().manual_seed(seed)
    model.to(device).train()
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    steps = recipe.epochs * len(_batch_starts(len(images), recipe.batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step, steps, recipe.warmup))
    for batch, labels in progress(
        _batches(images, recipe, generator), f"training {recipe.epochs} epochs", total=steps
    ):
        # The weights start and the layers run deterministically; only the order and transforms are drawn.
        loss = F.cross_entropy(
            task.select(model(batch.to(device))), labels.to(device), label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def augment(images: torch.Tensor, recipe: TrainingRecipe, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by a part of its side and mirror half of them.

    Args:
        images: (N, 3, H, W).
        recipe: ``shift`` and ``flip``.
        generator: Draws; on the CPU.

    Returns:
        (N, 3, H, W); where a shift uncovers a border, its pixels are repeated.
    """
    count = len(images)
    angle = torch.zeros(count, 2, 3)
    angle[:, 0, 0] = 1.0
    angle[:, 1, 1] = 1.0
    if recipe.flip:
        angle[:, 0, 0] -= 2.0 * (torch.rand(count, generator=generator) < 0.5)
    # affine_grid measures in half sides: a shift by the whole side is 2.
    angle[:, :, 2] = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * recipe.shift
    grid = F.affine_grid(angle, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _batches(
    images: LabelledImages, recipe: TrainingRecipe, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        for start in _batch_starts(len(images), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            yield augment(images.tensor(chosen), recipe, generator), images.labels[chosen]


def _batch_starts(count: int, size: int) -> range:
    # A last batch of one image has no variance for BatchNorm; it is left out (another epoch has it).
    return range(0, count - 1 if count > size and count % size == 1 else count, size)


def _cosine(step: int, steps: int, warmup: float) -> float:
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
