"""Samples of consumers' inputs, weighted by how much the network's answer depends on each of them."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.embedding import Leaves
from xaiprune.forward import Inputs, as_found, as_input, count_of, is_text, logits_of, part_of, real_positions
from xaiprune.pruning.statistics.inputs import ConsumerInputs
from xaiprune.pruning.statistics.stream import ImageStream
from xaiprune.units import BatchNormWrittenOut, ImageAxis, image_axes

_MIN_SAMPLES, _PER_CHANNEL = 8192, 12
# Part of a sample's weight that follows the answer's gradient; the rest is the same for all samples, so that
# every position has some weight.
_BY_GRADIENT = 0.9

Axes = Mapping[str, ImageAxis]
_Kept = TypeVar("_Kept")


@dataclass
class DenseSamples:
    """What consumers read in the dense network; serves every plan.

    Attributes:
        seen: Consumer -> (samples (n, C), weights (n,)), image after image, as `dense_samples` gives them.
        axes: Consumer -> which part of its input belongs to which image; None where images run one by one.
    """

    seen: dict[str, tuple[Tensor, Tensor]]
    axes: Axes | None

    @property
    def nbytes(self) -> int:
        """Memory that the samples take."""
        return _nbytes(self.seen)

    def __repr__(self) -> str:
        return f"DenseSamples({len(self.seen)} consumers, {self.nbytes / 1e6:.1f} MB)"


def _nbytes(seen: Mapping[str, tuple[Tensor, Tensor]]) -> int:
    return sum(lines.nbytes + weights.nbytes for lines, weights in seen.values())


def all_samples(model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream) -> DenseSamples:
    """`dense_samples` of all images; none where these have to run one by one."""
    images, axes = told_apart(model, inputs, images)
    if axes is None:
        return DenseSamples({}, None)
    parts = [seen for _, seen in dense_samples(model, inputs, images, axes)]
    whole = {}
    for name in inputs:
        lines, weights = zip(*(part.pop(name) for part in parts), strict=True)
        whole[name] = torch.cat(lines), torch.cat(weights)
    return DenseSamples(whole, axes)


def bytes_of_samples(model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream) -> int:
    """What `all_samples` would take, estimated from the samples of one image."""
    return len(images) * _nbytes(_weighted(model, inputs, images.first(1), len(images), None))


def told_apart(
    model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream
) -> tuple[ImageStream, Axes | None]:
    """Images in batches of which can be told what each consumer reads of each image, and how.

    Args:
        model: The dense network, in eval mode.
        inputs: Consumer -> its channels.
        images: Two or more.

    Returns:
        The images and consumer -> which part of its input belongs to which image; or the images one by one
        and None, where that cannot be told or one image's logits depend on another image.
    """
    pair = images.first(2)
    if is_text(pair):  # each token of each text is there, and padding has no weight
        return images, dict.fromkeys(inputs, ImageAxis())

    def keep(_: str, read: Tensor) -> Tensor:
        return read.clone()

    try:
        one = _entering(model, inputs, part_of(pair, slice(1)), keep)
        two = _entering(model, inputs, pair, keep, of=1)
    except torch.OutOfMemoryError:
        return images.one_by_one(), None
    found = image_axes(
        [_channels(model.get_submodule(name)) for name in inputs],
        [[read] for read, _ in one.values()],
        [[(read, torch.zeros_like(read) if g is None else g)] for read, g in two.values()],
    )
    if found is None:
        return images.one_by_one(), None
    return images, {name: axis for name, (axis,) in zip(inputs, found, strict=True)}


def dense_samples(
    model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: ImageStream, axes: Axes | None
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
        axes: Which part of a consumer's input belongs to which image; None: images come one by one.

    Yields:
        Numbers of the batch's images, and consumer -> (samples (n, C), weights (n,)).
    """
    for numbers, part in images.followed("collecting statistics"):
        yield numbers, _weighted(model, inputs, part, len(images), axes)


def _entering(
    model: nn.Module,
    inputs: Mapping[str, ConsumerInputs],
    images: Inputs,
    keep: Callable[[str, Tensor], _Kept],
    of: int | None = None,
) -> dict[str, tuple[_Kept, Tensor | None]]:
    """What consumers read of a batch, and the gradient of the top logits at their outputs.

    Args:
        model: The dense network, in eval mode.
        inputs: Consumer -> its channels.
        images: The batch.
        keep: Called with a consumer and its input; the network may overwrite that afterwards.
        of: How many images' logits count; None: all.

    Returns:
        Consumer -> what `keep` returned, and the gradient; None where the logits do not depend on the output.
    """
    kept: dict[str, _Kept] = {}
    gradients: dict[str, Tensor] = {}

    def after(name: str, _: nn.Module, args: Any, output: Tensor) -> None:
        kept[name] = keep(name, args[0].detach())
        # A tensor's hook is not affected by later in-place changes.
        output.register_hook(lambda gradient: gradients.__setitem__(name, gradient.detach()))

    with torch.inference_mode(False), torch.enable_grad(), as_found(model), ExitStack() as block:
        for name in inputs:
            block.enter_context(model.get_submodule(name).register_forward_hook(partial(after, name)))
        if count_of(images) == 1:  # PyTorch's own backward of BatchNorm is wrong there
            block.enter_context(BatchNormWrittenOut())
        leaves = Leaves(as_input(model, images))
        answers = logits_of(leaves.run(model)).max(-1).values  # one for each image, or position of a text
        counted = real_positions(images, answers.shape)
        leaves.gradients((answers[:of] if counted is None else answers[counted]).sum())
    return {name: (kept[name], gradients.get(name)) for name in inputs}


def _weighted(
    model: nn.Module, inputs: Mapping[str, ConsumerInputs], images: Inputs, total: int, axes: Axes | None
) -> dict[str, tuple[Tensor, Tensor]]:
    modules = {name: model.get_submodule(name) for name in inputs}
    axis = {name: ImageAxis() if axes is None else axes[name] for name in inputs}
    count = count_of(images)

    def keep(name: str, read: Tensor) -> tuple[Tensor, torch.Size]:
        return samples_of_input(modules[name], read, inputs[name], count, total, axis[name]), read.shape

    found = {}
    for name, ((lines, shape), gradient) in _entering(model, inputs, images, keep).items():
        counted = real_positions(images, shape[:-1])
        weight = _weights(modules[name], gradient, shape, inputs[name], count, total, axis[name], counted)
        found[name] = (lines, weight.expand(len(lines)) if weight.numel() == 1 else weight)
    return found


def _weights(
    module: nn.Module,
    gradient: Tensor | None,
    shape: torch.Size,
    inputs: ConsumerInputs,
    batch: int,
    total: int,
    axis: ImageAxis,
    counted: Tensor | None,
) -> Tensor:
    """The samples' weights, (n,); one for all where the consumer sees a whole image at once.

    Padding of texts has the weight zero.
    """
    if gradient is None and counted is not None:
        return counted[:, :: _stride(shape[1], inputs, total)].reshape(-1).float()
    if gradient is None or inputs.repeat > 1:
        return torch.ones(1)
    channels = _channels(module)
    square = gradient.square().sum(channels, keepdim=True)
    if isinstance(module, nn.Conv2d):
        square = F.interpolate(square, size=shape[2:], mode="area")
    weight = axis.first(square, batch, channels).reshape(batch, -1)
    real = torch.ones_like(weight) if counted is None else counted.to(weight)
    mean = (weight * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1)
    weight = torch.where(mean > 0, weight / mean.clamp_min(torch.finfo(weight.dtype).tiny), 1.0)
    weight = (1 - _BY_GRADIENT) + _BY_GRADIENT * weight
    weight = weight * real
    return weight[:, :: _stride(weight.shape[1], inputs, total)].reshape(-1)


def samples_of_input(
    module: nn.Module, tensor: Tensor, inputs: ConsumerInputs, batch: int, total: int, axis: ImageAxis
) -> Tensor:
    """A consumer's input as (n, C), image after image, at evenly spread positions.

    Neighbouring pixels are nearly alike, so no more positions are used than the moments need. The choice
    depends on the shape only, so the dense and the pruned network are sampled at the same positions.

    Args:
        module: The consumer.
        tensor: Its input.
        inputs: Its channels.
        batch: Images in this forward.
        total: Reference images in all.
        axis: Which part of the input belongs to which image.
    """
    lines = axis.first(tensor, batch, _channels(module))  # (N, ..., channels)
    if inputs.repeat > 1:
        lines = lines.unflatten(-1, (inputs.channels, inputs.repeat)).transpose(-1, -2)
    lines = lines.reshape(batch, -1, inputs.channels)
    return lines[:, :: _stride(lines.shape[1], inputs, total)].reshape(-1, inputs.channels).clone()


def _channels(module: nn.Module) -> int:
    """The dimension of a consumer's input and output that runs over channels."""
    return 1 if isinstance(module, nn.Conv2d) else -1


def _stride(positions: int, inputs: ConsumerInputs, total: int) -> int:
    """The distance between two positions of an image that are sampled."""
    enough = max(_MIN_SAMPLES, _PER_CHANNEL * inputs.channels)
    step = max(1, positions * total // enough)
    # A stride that shares a factor with the width would always meet the same columns.
    while step > 1 and math.gcd(step, positions) > 1:
        step += 1
    return min(step, positions)
