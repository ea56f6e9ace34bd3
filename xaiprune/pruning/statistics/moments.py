"""First and second moments of what consumers read, from the reference images."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from xaiprune.pruning.statistics.inputs import Inputs
from xaiprune.pruning.statistics.samples import dense_samples

HELD_OUT = 5  # every fifth image is held out to choose the ridge strength


@dataclass
class Moments:
    """Weighted sums over samples of x, y and their products; for one network, y is of x's channels.

    Attributes:
        n: Sum of the samples' weights.
        x: Sum of the true inputs, (C,).
        y: Sum of those inputs that the pruned network keeps, as it has them, (K,).
        xy: Sum of x y^T, (C, K).
        yy: Sum of y y^T, (K, K).
        plain_x: Plain (unweighted) sum of x, (C,).
        plain_y: And of y, (K,).
        count: Samples.
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
        """Of samples x (n, C), with weights (n,), and y (n, K), or x itself; sums are float64."""
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
        """With those channels of y alone, (K,) of them."""
        return replace(
            self,
            y=self.y[kept],
            xy=self.xy[:, kept],
            yy=self.yy[kept][:, kept],
            plain_y=self.plain_y[kept],
        )

    def __add__(self, other: "Moments") -> "Moments":
        mine, others = vars(self), vars(other)
        return Moments(**{name: value + others[name] for name, value in mine.items()})


@dataclass
class Statistics:
    """Moments of every consumer's input in the dense network; serves every plan.

    Attributes:
        inputs: Consumer -> its channels.
        fit: Consumer -> moments over the images that fit the ridge regression.
        held_out: Consumer -> moments over those that choose its strength.
    """

    inputs: dict[str, Inputs]
    fit: dict[str, Moments] = field(default_factory=dict)
    held_out: dict[str, Moments] = field(default_factory=dict)


def collect(model: nn.Module, inputs: dict[str, Inputs], images: Tensor, batch_size: int = 32) -> Statistics:
    """One pass over the reference images, in batches; memory is that of one batch and the moments.

    Args:
        model: The dense network, in eval mode.
        inputs: What to look at.
        images: (N, 3, H, W), normalised, N >= 2.
        batch_size: Images in one forward.
    """
    found = Statistics(inputs)
    for numbers, seen in dense_samples(model, inputs, images, batch_size):
        for name, (lines, weight) in seen.items():
            held = held_out(numbers).repeat_interleave(len(lines) // len(numbers)).to(lines.device)
            for part, into in ((~held, found.fit), (held, found.held_out)):
                if bool(part.any()):
                    moments = Moments.of(lines[part], weight[part])
                    into[name] = into[name] + moments if name in into else moments
    return found


def held_out(numbers: Tensor) -> Tensor:
    """Which images (by number) are held out, bool."""
    return numbers % HELD_OUT == HELD_OUT - 1
