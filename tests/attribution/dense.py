"""LRP from its definitions, on dense matrices: what the engine is compared with.

Nothing here knows how the engine computes. A linear layer or convolution becomes the matrix W_ij that its
responses to unit vectors spell out; the contributions c_ij = x_i W_ij are written down one by one, and a rule
is the share of R_j that each of them gets. Slow, and meant for float64 and a few dozen numbers.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from xaiprune.attribution.lrp import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from xaiprune.attribution.lrp.rules import Rule


def matrix_and_bias(layer: nn.Module, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """W (in, out) and b (out,) of a layer with bias, by its responses to zero and to every unit vector.

    Args:
        layer: Linear layer or convolution.
        shape: Of one input, without the batch.
    """
    size = shape.numel()
    with torch.no_grad():
        bias = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        matrix = layer(torch.eye(size, dtype=torch.float64).view(size, *shape)).flatten(1) - bias
    return matrix, bias


def relevance_of_inputs(rule: Rule, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
    """R_i of a layer's inputs from R_j of its outputs, shaped like ``x`` (N, ...)."""
    if isinstance(rule, Flat):  # which input reaches which output, whatever its weight
        layer = copy.deepcopy(layer)
        layer.weight.data.fill_(1)
    matrix, bias = matrix_and_bias(layer, x[0].shape)
    shares = torch.stack([_shares(rule, matrix, bias, sample.flatten()) for sample in x])
    return torch.einsum("nij,nj->ni", shares, relevance.flatten(1)).view_as(x)


def _shares(rule: Rule, matrix: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """The part of output j's relevance that goes to input i, (in, out)."""
    c = x[:, None] * matrix
    b = torch.zeros_like(bias) if getattr(rule, "bias", "absorb") == "exclude" else bias
    z = c.sum(0) + b
    if isinstance(rule, Epsilon):
        return _divide(c, z, rule.epsilon)
    if isinstance(rule, Gamma):
        towards = torch.where(z >= 0, c.clamp(min=0), c.clamp(max=0))
        b_towards = torch.where(z >= 0, b.clamp(min=0), b.clamp(max=0))
        boosted = c + rule.gamma * towards
        return _divide(boosted, z + rule.gamma * (towards.sum(0) + b_towards), rule.stabilizer)
    if isinstance(rule, ZPlus):
        return _positive_shares(c, b, rule.stabilizer)
    if isinstance(rule, AlphaBeta):
        positive = _positive_shares(c, b, rule.stabilizer)
        negative = _positive_shares(-c, -b, rule.stabilizer)
        return rule.alpha * positive - rule.beta * negative
    if isinstance(rule, Flat):
        return matrix / matrix.sum(0).clamp(min=1)  # an output may lie in the padding alone
    if isinstance(rule, WSquare):
        return _divide(matrix.square(), matrix.square().sum(0), rule.stabilizer)
    if isinstance(rule, ZBox):
        c = c - rule.low * matrix.clamp(min=0) - rule.high * matrix.clamp(max=0)
        return _divide(c, c.sum(0), rule.stabilizer)
    raise AssertionError(f"no definition of {rule}")


def _positive_shares(c: Tensor, b: Tensor, stabilizer: float) -> Tensor:
    positive = c.clamp(min=0)
    return _divide(positive, positive.sum(0) + b.clamp(min=0), stabilizer)


def _divide(numerator: Tensor, denominator: Tensor, stabilizer: float) -> Tensor:
    """Shares with sign(0) = +1; nothing where nothing can be shared (0 / 0)."""
    stable = torch.where(denominator < 0, denominator - stabilizer, denominator + stabilizer)
    return torch.where(stable == 0, 0, numerator / torch.where(stable == 0, 1, stable))


def softmax_inputs(x: Tensor, relevance: Tensor, variant: str) -> Tensor:
    """R of a softmax's inputs over the last dimension.

    ``attnlrp``: R_i = x_i (R_i - y_i sum_j R_j) (Achtibat et al. 2024, eq. 13); ``cp``: nothing passes a
    constant; ``zplus``: shares of the positive x_i J_ji, J the Jacobian (the positive part of the softmax's
    linearisation without its bias).
    """
    y = x.softmax(-1)
    if variant == "cp":
        return torch.zeros_like(x)
    if variant == "attnlrp":
        return x * (relevance - y * relevance.sum(-1, keepdim=True))
    assert variant == "zplus"
    jacobian = torch.diag_embed(y) - y[..., :, None] * y[..., None, :]  # j, i
    positive = (x[..., None, :] * jacobian).clamp(min=0)
    # the stabilizer that the engine states: relative to the weight y_j, which every contribution carries
    shares = positive / (positive.sum(-1, keepdim=True) + 1e-9 * y[..., :, None])
    return torch.einsum("...ji,...j->...i", shares, relevance)


def product_halves(a: Tensor, b: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """R of both factors of a matrix product ``a @ b``: shares a_ik b_kj / o_ij of each term, split evenly."""
    terms = a[..., :, :, None] * b[..., None, :, :]  # i, k, j
    out = terms.sum(-2)
    passed = terms / out[..., :, None, :] * relevance[..., :, None, :]
    return passed.sum(-1) / 2, passed.sum(-3) / 2


def layer_norm_inputs(x: Tensor, norm: nn.LayerNorm, relevance: Tensor) -> Tensor:
    """R of a LayerNorm's inputs, the deviation constant: epsilon -> 0 on the linear map that is left."""
    width = x.shape[-1]
    deviation = (x.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    center = torch.eye(width, dtype=x.dtype) - 1 / width
    c = x[..., :, None] * center * norm.weight / deviation[..., None]  # i, j
    out = c.sum(-2) + norm.bias
    return torch.einsum("...ij,...j->...i", c, relevance / out)
