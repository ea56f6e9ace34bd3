"""Two networks on the same images or windows: whether one is right more often than by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from xaiprune.errors import XaipruneError


@dataclass(frozen=True)
class Paired:
    """On how many of the same examples either of two networks is the better.

    Attributes:
        only_first: Images that only the first gets right (n10); windows of text in which the first is better.
        only_second: Those of the second (n01).
    """

    only_first: int
    only_second: int

    @property
    def p(self) -> float:
        """Two-sided p of the exact sign test: equal networks win half the differences each.

        Of images, which are right or wrong, that is McNemar's exact test (1947).
        """
        total = self.only_first + self.only_second
        return 1.0 if total == 0 else float(binomtest(self.only_first, total, 0.5).pvalue)


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two networks example by example.

    Args:
        first: (N,), of the first: which images are right, or how many tokens of each window
            (`Accuracy.per_image`); the higher, the better.
        second: (N,), likewise of the second, on the same examples in the same order.

    Raises:
        XaipruneError: The two have different numbers of examples.
    """
    if first.shape != second.shape:
        raise XaipruneError(f"a paired test needs the same images, got {len(first)} and {len(second)}")
    return Paired(int((first > second).sum()), int((second > first).sum()))
