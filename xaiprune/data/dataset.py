"""What there is to work with: three splits and a task."""

from dataclasses import dataclass

from xaiprune.data.images import LabelledImages
from xaiprune.data.task import Task


@dataclass(frozen=True, repr=False)
class Dataset:
    """Three splits that share no picture, and the classes to tell apart.

    Attributes:
        reference: Few images per class, for attribution.
        validation: What trials are scored on.
        test: Only for the final comparison.
        task: The classes and their logits.
    """

    reference: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    task: Task

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self.reference)} reference, {len(self.validation)} validation and "
            f"{len(self.test)} test images; {len(self.task.classes)} classes)"
        )


@dataclass(frozen=True, repr=False)
class TrainingData:
    """What a network is trained on: shares no picture with the validation and test splits of a `Dataset`.

    Attributes:
        train: All images that may be learned from.
        validation: To look at while tuning.
        test: Held out.
        task: The classes; output i is class i.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    task: Task

    def __repr__(self) -> str:
        return (
            f"TrainingData({len(self.train)} training, {len(self.validation)} validation and "
            f"{len(self.test)} test images; {len(self.task.classes)} classes)"
        )
