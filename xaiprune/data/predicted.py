"""Images whose labels are what a network predicts of them."""

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from xaiprune.data.images import Index, LabelledImages, positions
from xaiprune.forward import IGNORED, Inputs


class PredictedImages(LabelledImages):
    """Images with predictions in place of labels; they are computed when they are first asked for.

    Args:
        images: Whose pixels; their own labels, if they have any, are not used.
        predict: The labels, (N,) int64 on the CPU, indices into the task's classes; called at most once.
    """

    predicted: ClassVar[bool] = True

    def __init__(self, images: LabelledImages, predict: Callable[[], torch.Tensor]) -> None:
        self.images = images
        self.files = images.files
        self.noun, self.by_class, self.pictured = images.noun, images.by_class, images.pictured
        self._predict = predict

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def labels(self) -> torch.Tensor:  # type: ignore[override]  # which the class declares as a variable
        """(N,) int64, the predicted classes; of text (N, T), where what has no label keeps none."""
        found = self._predict()
        if self.by_class:
            return found
        own = self.images.labels
        return torch.where(own == IGNORED, own, found)

    @property
    def answers(self) -> int:
        """As many as the images have."""
        return self.images.answers

    @property
    def chunk(self) -> int:
        """As of the images."""
        return self.images.chunk

    @property
    def window(self) -> int | None:
        """As of the images."""
        return self.images.window

    @property
    def labelled(self) -> bool:
        """They are, by the network."""
        return True

    @property
    def measure(self) -> str:
        """The network is right where it agrees with the one that predicted."""
        return "agreement with the dense network"

    @property
    def targets(self) -> str:
        """Predictions, and whether there are labels beside them."""
        return "the network's own predictions" + ("" if self.images.labelled else " (no labels)")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.size

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> torch.Tensor:
        """Normalised images, (n, channels, H, W) float32."""
        return self.images.tensor(index, device)

    def inputs(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Inputs:
        """As of the images."""
        return self.images.inputs(index, device)

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """The images as people look at them: (n, H, W, 3) uint8."""
        return self.images.pictures(index)

    def subset(self, index: Index) -> "PredictedImages":
        """Only these images; of one and the same prediction."""
        chosen = positions(index, len(self))
        return PredictedImages(self.images.subset(index), lambda: self.labels[chosen])

    def fingerprint(self) -> str:
        """That of the images, marked: predictions follow from the network, and may differ between devices."""
        return f"{self.images.fingerprint()}-predicted"
