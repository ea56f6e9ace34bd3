"""How many images, or next tokens, a network gets right, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

from xaiprune.data import LabelledImages

_LARGEST = 700.0  # whose exponential is a float


@dataclass(frozen=True)
class Accuracy:
    """How many images were classified correctly.

    Attributes:
        correct: Images classified correctly.
        total: Images classified.
        per_image: (total,) bool, which images were classified correctly, in their order; None where only the
            counts are known.
        noun: What an image is called (`LabelledImages.noun`).
    """

    correct: int
    total: int
    per_image: np.ndarray | None = field(default=None, compare=False, repr=False)
    noun: str = field(default="image", kw_only=True, compare=False, repr=False)

    @classmethod
    def of(cls, per_image: np.ndarray, noun: str = "image") -> Self:
        """Count the images that were classified correctly.

        Args:
            per_image: (N,) bool, in the images' order.
            noun: What one is called.
        """
        return cls(int(per_image.sum()), len(per_image), per_image, noun=noun)

    @property
    def top1(self) -> float:
        """Fraction classified correctly, 0..1."""
        return self.correct / self.total

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Wilson's score interval of the top-1, over images.

        Args:
            level: Coverage, 0..1.

        Returns:
            Lower and upper bound, 0..1 (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4).
        """
        bounds = binomtest(self.correct, self.total).proportion_ci(level, method="wilson")
        return float(bounds.low), float(bounds.high)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.top1:.1%} [{low:.1%}, {high:.1%}] of {self.total} {self.noun}s"


@dataclass(frozen=True)
class TokenAccuracy(Accuracy):
    """How often the next token had the highest logit, and how probable it was.

    Attributes:
        per_image: (N,) int64, tokens that were right in each window.
        answers: Tokens that were asked for in each window.
        loss: (N,), summed over each window: minus the log-probability of the next token, in nats.
    """

    answers: int = 1
    loss: np.ndarray = field(default_factory=lambda: np.zeros(0), compare=False, repr=False)

    @classmethod
    def of_windows(cls, right: np.ndarray, loss: np.ndarray, answers: int) -> Self:
        """Count windows of one length.

        Args:
            right: (N,) int64, tokens right in each window.
            loss: (N,), summed over each window.
            answers: Tokens asked for in each window.
        """
        return cls(int(right.sum()), len(right) * answers, right, answers, loss)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval of the top-1 over windows, whose positions are not independent.

        Windows are the clusters of a cluster sample, all of one size (Cochran 1977, section 9.2).
        """
        assert self.per_image is not None
        low, high = _mean_interval(self.per_image / self.answers, level)
        return max(0.0, low), min(1.0, high)

    @property
    def perplexity(self) -> float:
        """exp of the mean loss of a token."""
        return math.exp(min(float(self.loss.sum()) / self.total, _LARGEST))

    def perplexity_interval(self, level: float = 0.95) -> tuple[float, float]:
        """exp of Student's interval of the mean loss, over windows."""
        low, high = _mean_interval(self.loss / self.answers, level)
        return math.exp(min(low, _LARGEST)), math.exp(min(high, _LARGEST))

    def __str__(self) -> str:
        low, high = self.interval()
        least, most = self.perplexity_interval()
        windows = len(self.loss)
        return (
            f"{self.top1:.1%} [{low:.1%}, {high:.1%}] of {self.total:,} next tokens, perplexity "
            f"{self.perplexity:.2f} [{least:.2f}, {most:.2f}] ({windows} windows of {self.answers + 1})"
        )


def _mean_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Student's interval of a mean; everything where there is one value."""
    mean = float(values.mean())
    if len(values) < 2:
        return -math.inf, math.inf
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(student.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - half, mean + half


def accuracy_of_chunks(images: LabelledImages, right: Sequence[int], loss: Sequence[float] = ()) -> Accuracy:
    """The accuracy on the first chunks of images (`LabelledImages.chunk`).

    Args:
        images: All of them.
        right: Right images or tokens in each chunk.
        loss: Of windows of text, as `TokenAccuracy` has it.
    """
    if images.answers > 1:
        return TokenAccuracy.of_windows(np.array(right), np.array(loss), images.answers)
    return Accuracy(sum(right), min(len(images), len(right) * images.chunk), noun=images.noun)
