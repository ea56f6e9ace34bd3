"""How well a recipe's heatmaps explain a network, by patch flipping."""

from __future__ import annotations

from torch import nn

from xaiprune.attribution import heatmaps
from xaiprune.data import LabelledImages, Task
from xaiprune.evaluation import Faithfulness, faithfulness
from xaiprune.recipe import Recipe
from xaiprune.session.caches import BatchSizes
from xaiprune.units import device_of

_HEATMAP_IMAGES = 16  # in one pass: relevance of the image itself takes memory


def flip_patches(
    model: nn.Module,
    images: LabelledImages,
    recipe: Recipe,
    task: Task,
    batch: BatchSizes,
    *,
    patch: int | None = None,
    steps: int = 10,
) -> Faithfulness:
    """Flip patches of images in the order of a recipe's heatmaps.

    Only composite and start have an effect on a heatmap, not how scores are aggregated.

    Args:
        model: Explains itself.
        images: What is explained.
        recipe: Whose heatmaps.
        task: Picks the task's logits.
        batch: Images in one pass.
        patch: As `xaiprune.evaluation.faithfulness` takes it.
        steps: As there.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    pixels = images.tensor(device=device_of(model))
    relevance = heatmaps(
        model,
        pixels,
        images.labels,
        recipe.composite,
        task=task,
        start=recipe.start,
        batch_size=min(_HEATMAP_IMAGES, batch.attribution),
    )
    return faithfulness(
        model, pixels, images.labels, relevance, task, patch=patch, steps=steps, batch_size=batch.forward
    )
