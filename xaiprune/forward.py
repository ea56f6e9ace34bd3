"""Running a network that belongs to somebody else: what goes in, what comes out, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from xaiprune.errors import XaipruneError

_OWN = frozenset(vars(nn.Module())) - {"_buffers"}  # what torch keeps in every module; caches may be buffers

IGNORED = -100
"""The label of a position that has none, as in PyTorch's and transformers' losses."""

_MASKS = {"attention_mask": "input_ids", "decoder_attention_mask": "decoder_input_ids"}  # and of which ids
# What of a dict of inputs relevance can reach; masks, positions and token types are constants.
_EXPLAINED = ("input_ids", "decoder_input_ids", "inputs_embeds", "decoder_inputs_embeds", "pixel_values")

Inputs = Tensor | Mapping[str, Tensor]
"""What a network takes: images (N, 3, H, W); ids of tokens (N, T), integers; or a dict of tensors that all
have N first, whose keys are the network's arguments (``input_ids``, ``attention_mask``)."""


@overload
def as_input(model: nn.Module, inputs: Tensor) -> Tensor: ...
@overload
def as_input(model: nn.Module, inputs: Inputs) -> Inputs: ...
def as_input(model: nn.Module, inputs: Inputs) -> Inputs:
    """Inputs on the network's device and in its precision; ids and masks, being integers, keep their type."""
    if isinstance(inputs, Mapping):
        return {key: _as_input(model, tensor) for key, tensor in inputs.items()}
    return _as_input(model, inputs)


def _as_input(model: nn.Module, tensor: Tensor) -> Tensor:
    like = next((p for p in model.parameters() if p.is_floating_point()), tensor)
    converted = tensor.is_floating_point() or tensor.dtype == torch.uint8  # bytes are pixels
    return tensor.to(like.device, like.dtype if converted else tensor.dtype)


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of a network's numbers."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def run(model: nn.Module, inputs: Inputs) -> Any:
    """What the network returns for a batch.

    Raises:
        XaipruneError: An encoder-decoder got the source text alone.
    """
    try:
        return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    except ValueError as error:  # transformers' own; some encoder-decoders make the decoder's ids themselves
        alone = not isinstance(inputs, Mapping) or not any(key.startswith("decoder_input") for key in inputs)
        writes = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
        if not (alone and writes and "input_ids" in str(error)):
            raise
        raise XaipruneError(
            f"{type(model).__name__} reads a text and writes another: give a dict with input_ids and "
            "decoder_input_ids"
        ) from error


def count_of(inputs: Inputs) -> int:
    """How many images or windows of text a batch has.

    Raises:
        XaipruneError: A dict without tensors, or with tensors of different numbers.
    """
    if isinstance(inputs, Tensor):
        return len(inputs)
    counts = {key: len(tensor) for key, tensor in inputs.items()}
    if len(set(counts.values())) != 1:
        raise XaipruneError(
            f"a dict of inputs needs tensors of one first dimension, got {counts or 'no tensors'}"
        )
    return next(iter(counts.values()))


def part_of(inputs: Inputs, part: slice | Tensor) -> Inputs:
    """Some images or texts of a batch, by a slice or by their positions."""
    return inputs[part] if isinstance(inputs, Tensor) else {key: value[part] for key, value in inputs.items()}


def joined(batches: Sequence[Inputs]) -> Inputs:
    """Batches as one."""
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.cat([batch for batch in batches if isinstance(batch, Tensor)])
    return {key: torch.cat([batch[key] for batch in batches]) for key in first}  # type: ignore[index]


def random_inputs(model: nn.Module, example: Inputs, count: int = 1) -> Inputs:
    """Inputs of the example's size, always the same: normally distributed pixels, or ids of the vocabulary.

    Masks and positions are those of the example's first text.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(key: str, tensor: Tensor) -> Tensor:
        shape = (count, *tensor.shape[1:])
        if tensor.is_floating_point():
            return torch.randn(shape, generator=generator).to(tensor)
        if key in ("input", *_EXPLAINED):
            return torch.randint(vocabulary_of(model), shape, generator=generator).to(tensor)
        return tensor[:1].expand(shape)

    if isinstance(example, Tensor):
        return draw("input", example)
    return {key: draw(key, tensor) for key, tensor in example.items()}


def vocabulary_of(model: nn.Module) -> int:
    """How many different tokens a language model reads.

    Raises:
        XaipruneError: The network has no embedding of tokens.
    """
    own = getattr(model, "get_input_embeddings", lambda: None)()
    tables = [own, *model.modules()] if isinstance(own, nn.Embedding) else model.modules()
    found = next((module.num_embeddings for module in tables if isinstance(module, nn.Embedding)), None)
    if found is None:
        raise XaipruneError(f"{type(model).__name__} has no embedding of tokens; give it numbers, not ids")
    return found


def without_masks(inputs: Inputs) -> Inputs:
    """A batch as if nothing of it were padding."""
    if isinstance(inputs, Tensor):
        return inputs
    return {key: tensor for key, tensor in inputs.items() if key not in _MASKS}


def real_positions(inputs: Inputs, shape: Sequence[int]) -> Tensor | None:
    """Which positions of a batch of texts are no padding, by its attention masks.

    Args:
        inputs: The batch.
        shape: (N, T) of the positions.

    Returns:
        (N, T) bool; None where all are, or where these are no positions of the texts.

    Raises:
        XaipruneError: Texts and answers of an encoder-decoder both have this shape, and other masks.
    """
    if isinstance(inputs, Tensor):
        return None
    masks = [
        inputs[mask] if mask in inputs else torch.ones_like(inputs[ids])
        for mask, ids in _MASKS.items()
        if mask in inputs or ids in inputs
    ]
    found = [mask.bool() for mask in masks if mask.shape == torch.Size(shape)]
    if any(not torch.equal(mask, found[0]) for mask in found):
        raise XaipruneError(
            f"texts and answers are both padded to {shape[1]} tokens; pad one of them to another length, so "
            "that their positions can be told apart"
        )
    return found[0] if found and not bool(found[0].all()) else None


def is_text(inputs: Inputs) -> bool:
    """Whether these are ids of tokens, or a dict."""
    return not isinstance(inputs, Tensor) or (inputs.dim() == 2 and not inputs.is_floating_point())


def tokens_of(texts: Inputs) -> int:
    """How many tokens texts have, without their padding; of an encoder-decoder, those that it reads."""
    ids = next(iter(explained(texts).values()))
    real = real_positions(texts, ids.shape)
    return ids.shape[0] * ids.shape[1] if real is None else int(real.sum())


def explained(inputs: Inputs) -> dict[str, Tensor]:
    """The tensors that relevance can reach, by name; ``input`` is the name of a tensor that comes alone."""
    if isinstance(inputs, Tensor):
        return {"input": inputs}
    return {key: inputs[key] for key in _EXPLAINED if key in inputs}


def logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """What a network says of inputs, as `logits_of`, whatever their device and precision.

    Raises:
        XaipruneError: As `logits_of`.
    """
    return logits_of(run(model, as_input(model, inputs)))


def logits_of(outputs: Any) -> Tensor:
    """The logits of what a network returns: a tensor, or an object or mapping with ``logits``.

    Returns:
        (N, classes), or (N, T, vocabulary) of a language model.

    Raises:
        XaipruneError: There are none; says what came instead.
    """
    found = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", outputs)
    if isinstance(found, Tensor) and found.dim() in (2, 3):
        return found
    got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(outputs).__name__
    raise no_logits(got)


def no_logits(got: str) -> XaipruneError:
    """The error of a network that returns something else than the logits that are asked for."""
    return XaipruneError(
        "the model must return logits of shape (N, classes), or an object that has them as 'logits' (for "
        f"labels of (N, T), (N, T, vocabulary)), got {got}; wrap it in a module that returns them"
    )


def input_channels(model: nn.Module, height: int, width: int) -> int:
    """How many channels the images have that a network reads; 3 where nothing tells another number.

    Its first convolution may read stacked pixels rather than channels, so where that reads other than 3, the
    network is run on a blank image.

    Args:
        model: The network.
        height: Of an image that it takes, in pixels.
        width: Likewise.
    """
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    first = 3 if convolution is None else convolution.in_channels
    if first == 3:
        return 3
    with torch.no_grad(), evaluating(model), as_found(model):
        for channels in (3, 1, first, first // 4, first // 16):
            with suppress(Exception):  # whatever a network raises that does not take it
                model(as_input(model, torch.zeros(1, channels, height, width)))
                return channels
    return 3


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in eval mode while it lasts; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Take away the tensors that a network's modules keep of what runs inside the block.

    Some networks cache tensors in their attributes while they run in eval mode (attention biases). Computed
    with gradients, these hold on to their graph, and the network cannot be copied any more.
    """
    before = [(module, _attributes(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes in before:
            _restore(module, attributes)


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Every attribute that is not torch's, and a copy of what is in it where it is a dictionary or list."""
    own = {key: value for key, value in vars(module).items() if key not in _OWN}
    return {key: (value, value.copy() if type(value) in (dict, list) else None) for key, value in own.items()}


def _restore(module: nn.Module, attributes: Mapping[str, tuple[Any, Any]]) -> None:
    for key, value in list(vars(module).items()):
        former, content = attributes.get(key, (None, None))
        unchanged = former is value and (content is None or _same(value, content))
        tensors = (isinstance(leaf, Tensor) for leaf in tree_leaves((value, former, content)))
        if key in _OWN or unchanged or not any(tensors):
            continue
        if key not in attributes:
            del vars(module)[key]
        elif former is not value:
            vars(module)[key] = former
        else:
            value.clear()
            value.update(content) if isinstance(value, dict) else value.extend(content)


def _same(value: Any, content: Any) -> bool:
    """Whether a dictionary or list holds the very same objects (tensors are not compared by value)."""
    if isinstance(value, dict):
        return list(value) == list(content) and _same(list(value.values()), list(content.values()))
    return len(value) == len(content) and all(a is b for a, b in zip(value, content, strict=True))
