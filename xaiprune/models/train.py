"""Train a classifier: AdamW, warm-up and cosine schedule, small random transforms."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.optim import param_groups_weight_decay
from timm.scheduler import CosineLRScheduler
from torch import nn

from xaiprune.data import LabelledImages, Task
from xaiprune.forward import logits
from xaiprune.progress import progress


@dataclass(frozen=True)
class TrainingRecipe:
    """How to train.

    Attributes:
        epochs: Passes over the images.
        learning_rate: Its peak.
        weight_decay: AdamW's, on weights but not on biases and norms.
        label_smoothing: Of the cross-entropy.
        shift: Random shifts by up to this fraction of the image's side.
        flip: Mirror half of the images left to right.
        batch_size: Images per step.
        warmup: Fraction of the steps in which the learning rate rises.
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
    settings: TrainingRecipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    """Train the network in place; it ends on ``device``, in eval mode.

    Args:
        model: Any classifier with the outputs that ``task`` selects.
        images: What to learn from.
        task: Which output each label is.
        settings: How to train.
        seed: Of the order and the random transforms; the initial weights are the caller's.
        device: Where to train.
    """
    generator = torch.Generator().manual_seed(seed)
    model.to(device).train()
    groups = param_groups_weight_decay(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    steps = settings.epochs * len(_batch_starts(len(images), settings.batch_size))
    schedule = _schedule(optimizer, settings, steps)
    batches = _batches(images, settings, generator)
    shown = progress(batches, f"training {settings.epochs} epochs", total=steps)
    for step, (batch, labels) in enumerate(shown, start=1):
        selected = task.select(logits(model, batch))
        loss = F.cross_entropy(selected, labels.to(device), label_smoothing=settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step_update(step)
    model.eval()


def augment(images: torch.Tensor, settings: TrainingRecipe, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by a fraction of its side and mirror half of them.

    Args:
        images: (N, 3, H, W).
        settings: ``shift`` and ``flip``.
        generator: Of the random numbers; on the CPU.

    Returns:
        (N, 3, H, W); pixels at the border are repeated where a shift uncovers something.
    """
    count = len(images)
    angle = torch.zeros(count, 2, 3)
    angle[:, 0, 0] = 1.0
    angle[:, 1, 1] = 1.0
    if settings.flip:
        angle[:, 0, 0] -= 2.0 * (torch.rand(count, generator=generator) < 0.5)
    # affine_grid measures in half sides: a shift by the whole side is 2.
    angle[:, :, 2] = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * settings.shift
    grid = F.affine_grid(angle, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _batches(
    images: LabelledImages, settings: TrainingRecipe, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for _ in range(settings.epochs):
        order = torch.randperm(len(images), generator=generator)
        for start in _batch_starts(len(images), settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            yield augment(images.tensor(chosen), settings, generator), images.labels[chosen]


def _batch_starts(count: int, size: int) -> range:
    # A last batch of one image has no variance for BatchNorm; it is left out (another epoch has it).
    return range(0, count - 1 if count > size and count % size == 1 else count, size)


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainingRecipe, steps: int) -> CosineLRScheduler:
    """Linear warm-up to the optimizer's learning rate, then a cosine to zero, step by step."""
    warmup = max(1, round(steps * settings.warmup))
    return CosineLRScheduler(
        optimizer,
        t_initial=max(1, steps - warmup),
        warmup_t=warmup,
        warmup_lr_init=settings.learning_rate / warmup,
        warmup_prefix=True,
        t_in_epochs=False,
    )
