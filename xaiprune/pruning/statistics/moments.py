"""First and second moments of consumers' inputs on the reference images."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from xaiprune.pruning.statistics.inputs import ConsumerInputs
from xaiprune.pruning.statistics.samples import dense_samples, told_apart
from xaiprune.pruning.statistics.stream import ImageStream

HELD_OUT = 5  # every fifth image is held out to choose the ridge strength


@dataclass
class Moments:
    """Weighted sums over samples of x, y and their products.

    x is a consumer's input in the dense network, y its kept input in the pruned network. In statistics of the
    dense network alone, y is x, or some of its channels.

    Attributes:
        n: Sum of the samples' weights.
        x: Sum of x, (C,).
        y: Sum of y, (K,).
        xy: Sum of x y^T, (C, K).
        yy: Sum of y y^T, (K, K).
        plain_x: Unweighted sum of x, (C,).
        plain_y: Unweighted sum of y, (K,).
        count: Number of samples.
    """

    n: float
    x: Tensor
    y: Tensor
    xy: Tensor
    yy: Tensor
    plain_x: Tensor
    plain_y: Tensor
    count: int

    @staticmethod
    def of(x: Tensor, weight: Tensor, y: Tensor | None = None) -> "Moments":
        """The moments of samples x (n, C) with weights (n,), and y (n, K), by default x; sums are float64."""
        if not bool((counted := weight > 0).all()):  # padding of texts is left out
            x, weight, y = x[counted], weight[counted], None if y is None else y[counted]
        # Beyond a thousand channels float64 products get slow, and float32's error is far below the ridge.
        work = torch.float32 if x.shape[1] > 1024 else torch.float64
        x, weight = x.to(work), weight.to(work)
        weighted = x * weight[:, None]
        total, plain = weighted.double().sum(0), x.double().sum(0)
        n = float(weight.double().sum())
        if y is None:
            xx = (weighted.T @ x).double()
            return Moments(n, total, total, xx, xx, plain, plain, len(x))
        y = y.to(work)
        weighted_y = y * weight[:, None]
        return Moments(
            n,
            total,
            weighted_y.double().sum(0),
            (x.T @ weighted_y).double(),
            (weighted_y.T @ y).double(),
            plain,
            y.double().sum(0),
            len(x),
        )

    def only(self, kept: Tensor) -> "Moments":
        """The same moments with only some channels of y, (K,)."""
        return replace(
            self,
            y=self.y[kept],
            xy=self.xy[:, kept],
            yy=self.yy[kept][:, kept],
            plain_y=self.plain_y[kept],
        )

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass
class Statistics:
    """Moments of every consumer's input in the dense network; serves every plan.

    Attributes:
        inputs: Consumer -> its channels.
        fit: Consumer -> moments over the images that the ridge regression is fitted on.
        held_out: Consumer -> moments over the images that its strength is chosen on.
    """

    inputs: dict[str, ConsumerInputs]
    fit: dict[str, Moments] = field(default_factory=dict)
    held_out: dict[str, Moments] = field(default_factory=dict)

    def __repr__(self) -> str:
        channels = sum(inputs.channels for inputs in self.inputs.values())
        return f"Statistics({len(self.inputs)} consumers, {channels} channels)"

    def moments(self, consumer: str) -> Moments:
        """Of all reference images."""
        found = self.fit[consumer]
        return found + self.held_out[consumer] if consumer in self.held_out else found


def collect_moments(model: nn.Module, inputs: dict[str, ConsumerInputs], images: ImageStream) -> Statistics:
    """One pass over the reference images, in batches; memory is that of one batch and the moments.

    Args:
        model: The dense network, in eval mode.
        inputs: Consumer -> its channels.
        images: Two or more.
    """
    found = Statistics(inputs)
    images, axes = told_apart(model, inputs, images)
    for numbers, seen in dense_samples(model, inputs, images, axes):
        for name, (lines, weight) in seen.items():
            parts = moments_by_part(numbers, lines, weight)
            for moments, into in zip(parts, (found.fit, found.held_out), strict=True):
                if moments is not None:
                    into[name] = into[name] + moments if name in into else moments
    return found


def moments_by_part(
    numbers: Tensor, x: Tensor, weight: Tensor, y: Tensor | None = None
) -> tuple[Moments | None, Moments | None]:
    """Moments over the images to fit on, and over those that are held out; None where there are none.

    Args:
        numbers: Of the images, (n,).
        x: Samples, image after image.
        weight: Of the samples.
        y: As `Moments.of` takes it.
    """
    held = is_held_out(numbers).repeat_interleave(len(x) // len(numbers)).to(x.device)
    fit, checked = (
        Moments.of(x[part], weight[part], None if y is None else y[part]) if bool(part.any()) else None
        for part in (~held, held)
    )
    return fit, checked


def is_held_out(numbers: Tensor) -> Tensor:
    """Which images (by number) are held out, bool."""
    return numbers % HELD_OUT == HELD_OUT - 1


def means(moments: Moments, centred: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """E[x y^T] and E[y y^T] (covariances if centred), E[x] and E[y]."""
    n = moments.n
    x, y, xy, yy = moments.x / n, moments.y / n, moments.xy / n, moments.yy / n
    if centred:
        xy = xy - torch.outer(x, y)
        yy = yy - torch.outer(y, y)
    return xy, yy, x, y
