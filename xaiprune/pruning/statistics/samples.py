"""Samples of consumers' inputs, weighted by how much the network's answer depends on each of them."""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.embedding import Leaves
from xaiprune.forward import Inputs, as_found, count_of, logits_of, part_of, real_positions
from xaiprune.pruning.statistics.inputs import ConsumerInputs
from xaiprune.pruning.statistics.stream import ImageStream

_MIN_SAMPLES, _PER_CHANNEL = 8192, 12
# Part of a sample's weight that follows the answer's gradient; the rest is the same for all samples, so that
# every position has some weight.
_BY_GRADIENT = 0.9


@dataclass
class DenseSamples:
    """What consumers read in the dense network; serves every plan.

    Attributes:
        seen: Consumer -> (samples (n, C), weights (n,)), image after image, as `dense_samples` gives them.
    """

    seen: dict[str, tuple[Tensor, Tensor]]

    @property
    def nbytes(self) -> int:
        """Memory that the samples take."""
        return _nbytes(self.seen)

    def __repr__(self) -> str:
        return f"DenseSamples({len(self.seen)} consumers, {self.nbytes / 1e6:.1f} MB)"


def _nbytes(seen: Mapping[str, tuple[Tensor, Tensor]]) -> int:
    return sum(lines.nbytes + weights.nbytes for lines, weights in seen.values())


def all_samples(model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream) -> DenseSamples:
    """`dense_samples` of all images."""
    parts = [seen for _, seen in dense_samples(model, inputs, images)]
    whole = {}
    for name in inputs:
        lines, weights = zip(*(part.pop(name) for part in parts), strict=True)
        whole[name] = torch.cat(lines), torch.cat(weights)
    return DenseSamples(whole)


def bytes_of_samples(model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream) -> int:
    """What `all_samples` would take, estimated from the samples of one image."""
    with torch.inference_mode(False), torch.enable_grad():
        seen = _weighted(model, inputs, part_of(next(images.open()), slice(0, 1)), len(images))
    return len(images) * _nbytes(seen)


def dense_samples(
    model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream
) -> Iterator[tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]]:
    """Samples of every consumer's input, batch by batch, with weights.

    The weight of a sample (a pixel, a token) is the squared gradient of the network's top logit at the
    consumer's output there (to first order, what an error there does to the answer), normalised to a mean of
    1 in each image. In a ViT's last block only the class token matters; an unweighted regression would fit
    the 196 tokens that have no influence on the answer.

    Args:
        model: The dense network, in eval mode.
        inputs: Consumer -> its channels.
        images: One forward and backward for each of its batches.

    Yields:
        Numbers of the batch's images, and consumer -> (samples (n, C), weights (n,)).
    """
    for numbers, part in images.numbered():
        with torch.inference_mode(False), torch.enable_grad():
            seen = _weighted(model, inputs, part, len(images))
        yield numbers, seen


def _weighted(
    model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: Inputs, total: int
) -> dict[str, tuple[Tensor, Tensor]]:
    lines: dict[str, Tensor] = {}
    grids: dict[str, torch.Size] = {}
    gradients: dict[str, Tensor] = {}
    count = count_of(images)
    with ExitStack() as hooks:
        for name, own in inputs.items():

            def keep(module: nn.Module, args: Any, output: Tensor, own: ConsumerInputs = own) -> None:
                entering = args[0].detach()
                lines[own.module] = samples_of_input(module, entering, own, count, total)
                grids[own.module] = entering.shape

                def take(
                    gradient: Tensor,
                ) -> None:  # a tensor's hook is not affected by later in-place changes
                    gradients[own.module] = gradient.detach()

                output.register_hook(take)

            hooks.enter_context(model.get_submodule(name).register_forward_hook(keep))
        hooks.enter_context(as_found(model))
        leaves = Leaves(images)
        answers = logits_of(leaves.run(model)).max(-1).values  # one for each image, or position of a text
        counted = real_positions(images, answers.shape)
        leaves.gradients((answers if counted is None else answers[counted]).sum())
    found = {}
    for name, own in inputs.items():
        module = model.get_submodule(name)
        counted = real_positions(images, grids[name][:-1])
        weight = _weights(module, gradients.get(name), grids[name], own, count, total, counted)
        found[name] = (lines[name], weight.expand(len(lines[name])) if weight.numel() == 1 else weight)
    return found


def _weights(
    module: nn.Module,
    gradient: Tensor | None,
    grid: torch.Size,
    inputs: ConsumerInputs,
    batch: int,
    total: int,
    counted: Tensor | None,
) -> Tensor:
    """The samples' weights, (n,); one for all where the consumer sees a whole image at once.

    Padding of texts has the weight zero.
    """
    if gradient is None and counted is not None:
        return counted[:, :: _stride(grid[1], inputs, total)].reshape(-1).float()
    if gradient is None or inputs.repeat > 1:
        return torch.ones(1)
    if isinstance(module, nn.Conv2d):
        square = gradient.square().sum(1, keepdim=True)
        weight = F.interpolate(square, size=grid[2:], mode="area").reshape(batch, -1)
    else:
        weight = gradient.square().sum(-1).reshape(batch, -1)
    if counted is None:
        mean = weight.mean(1, keepdim=True)
    else:
        mean = (weight * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp_min(1)
    weight = torch.where(mean > 0, weight / mean.clamp_min(torch.finfo(weight.dtype).tiny), 1.0)
    weight = (1 - _BY_GRADIENT) + _BY_GRADIENT * weight
    weight = weight if counted is None else weight * counted
    return weight[:, :: _stride(weight.shape[1], inputs, total)].reshape(-1)


def samples_of_input(
    module: nn.Module, tensor: Tensor, inputs: ConsumerInputs, batch: int, total: int
) -> Tensor:
    """A consumer's input as (n, C), image after image, at evenly spread positions.

    Neighbouring pixels are nearly alike, so no more positions are used than the moments need. The choice
    depends on the shape only, so the dense and the pruned network are sampled at the same positions.

    Args:
        module: The consumer.
        tensor: Its input; images come first, possibly as several rows each (windows of attention).
        inputs: Its channels.
        batch: Images in this forward.
        total: Reference images in all.
    """
    if isinstance(module, nn.Conv2d):
        lines = tensor.flatten(2).transpose(1, 2)  # (N, HW, C)
    elif inputs.repeat > 1:
        lines = tensor.reshape(batch, inputs.channels, inputs.repeat).transpose(1, 2)
    else:
        lines = tensor
    lines = lines.reshape(batch, -1, inputs.channels)
    return lines[:, :: _stride(lines.shape[1], inputs, total)].reshape(-1, inputs.channels).clone()


def _stride(positions: int, inputs: ConsumerInputs, total: int) -> int:
    """The distance between two positions of an image that are sampled."""
    enough = max(_MIN_SAMPLES, _PER_CHANNEL * inputs.channels)
    step = max(1, positions * total // enough)
    # A stride that shares a factor with the width would always meet the same columns.
    while step > 1 and math.gcd(step, positions) > 1:
        step += 1
    return min(step, positions)
