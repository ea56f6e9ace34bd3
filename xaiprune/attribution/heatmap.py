"""Relevance of pixels: where in an image the right class's logit comes from."""

from __future__ import annotations

from torch import Tensor, cat, nn

from xaiprune.attribution.criteria.batches import independent_size
from xaiprune.attribution.criteria.types import SelectsLogits
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.linear_call import WeightCache
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.unit_relevance import Start, initial_relevance
from xaiprune.forward import as_input


def heatmaps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    composite: Composite,
    *,
    task: SelectsLogits | None = None,
    start: Start = "logit",
    batch_size: int = 16,
) -> Tensor:
    """Relevance of every pixel, summed over colour channels.

    Args:
        model: In eval mode; left as it was.
        images: (N, 3, H, W), normalised.
        labels: (N,) index of the explained class among the task's classes.
        composite: Which layer gets which rule; rules of the layer that reads the image matter only here.
        task: Picks the task's logits.
        start: Relevance of the explained logit.
        batch_size: Images in one forward.

    Returns:
        (N, H, W) on the CPU.
    """
    weights, batch_size = WeightCache(), independent_size(model, images, batch_size)
    found: list[Tensor] = []
    for batch, target in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        recording = Recording(model, as_input(model, batch), (), from_input=True, weights=weights)
        initial = initial_relevance(recording.logits, target.to(recording.logits.device), start, task)
        relevance = recording.backward(composite, initial, lambda *_: None, last=True)["input"]
        found.append(relevance.sum(1).cpu())
    return cat(found)
