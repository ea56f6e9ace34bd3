"""Two networks on the same images: whether their top-1 differs by more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class Paired:
    """How two classifiers disagree on the same images.

    Attributes:
        only_first: Images that only the first gets right (n10).
        only_second: Images that only the second gets right (n01).
    """

    only_first: int
    only_second: int

    @property
    def p(self) -> float:
        """Two-sided p of McNemar's exact test (1947): equal classifiers win half the disagreements each."""
        total = self.only_first + self.only_second
        return 1.0 if total == 0 else float(binomtest(self.only_first, total, 0.5).pvalue)


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two classifiers image by image.

    Args:
        first: (N,) bool, which images the first classifies correctly (`Accuracy.per_image`).
        second: (N,) bool, likewise of the second, on the same images in the same order.

    Raises:
        XaipruneError: The two have different numbers of images.
    """
    if first.shape != second.shape:
        raise XaipruneError(f"a paired test needs the same images, got {len(first)} and {len(second)}")
    return Paired(int((first & ~second).sum()), int((~first & second).sum()))
