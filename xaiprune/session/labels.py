"""What stands in for labels that nobody has given: the dense network's own predictions."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from xaiprune.data import Dataset, LabelledImages, PredictedImages, Task
from xaiprune.errors import XaipruneError
from xaiprune.forward import logits
from xaiprune.session.caches import BatchSizes
from xaiprune.units import device_of

_FEW = 0.1  # of the outputs: with references of fewer classes, pruning is at the others' expense


def predicted(model: nn.Module, images: LabelledImages, task: Task, batch: BatchSizes) -> PredictedImages:
    """Images with the network's predictions in place of labels.

    They are computed when labels are first asked for, which has to be while nothing is masked in the network.

    Args:
        model: The dense network, in eval mode.
        images: What it looks at.
        task: Among whose classes.
        batch: Images in one pass.
    """

    def predict() -> Tensor:
        found = [torch.empty(0, dtype=torch.int64)]
        with torch.inference_mode():
            for pixels, _ in images.batches(batch.forward, device_of(model)) if len(images) else ():
                selected = task.select(logits(model, pixels))
                if bool(selected.isnan().any()):
                    raise XaipruneError("the network gives NaN; its weights are broken")
                found.append(selected.argmax(-1).cpu())
        # A tensor of inference mode could not take part in a backward.
        return torch.cat(found).clone()

    return PredictedImages(images, predict)


def with_targets(model: nn.Module, data: Dataset, target: str, batch: BatchSizes) -> Dataset:
    """The dataset with the classes that relevance starts at, and that the test split is compared by.

    Test images without labels are compared by agreement with the dense network.

    Args:
        model: The dense network, in eval mode.
        data: As it was read.
        target: ``attribution.target``.
        batch: Images in one pass.

    Raises:
        XaipruneError: Labels are asked for, and there are none.
    """
    reference, test = data.reference, data.test
    if target == "labels" and not reference.labelled:
        raise XaipruneError("the reference images have no labels: set attribution.target=predicted")
    if target == "predicted" or not reference.labelled:
        reference = predicted(model, reference, data.task, batch)
    if not test.labelled:
        test = predicted(model, test, data.task, batch)
    return replace(data, reference=reference, test=test)


def coverage(data: Dataset) -> str | None:
    """A warning where the references have few of the network's outputs; None where they have enough.

    Args:
        data: With its targets (`with_targets`).
    """
    if not data.reference.by_class:
        return None
    classes, covered = len(data.task.classes), len(data.reference.labels.unique())
    if data.task.logits is not None or covered >= _FEW * classes:
        return None
    return (
        f"{covered} of {classes} classes have references: expect losses elsewhere "
        f"({len(data.reference)} images)"
    )
