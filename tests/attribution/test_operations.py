"""Every registered operation goes through the suite that users' operations can go through."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.attribution.lrp import trace_layers
from xaiprune.errors import UnsupportedOperation
from xaiprune.registry import OPERATIONS
from xaiprune.testing.operations import Case, FunctionNetwork, OperationSuite


def constant(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


W = constant(6, 6)
MHA = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
BN_STATISTICS = constant(4), constant(4).abs() + 0.5


def doubled_first_channel(x: Tensor) -> Tensor:
    x = x + 0
    x[:, 0] = 2 * x[:, 0]
    return x


PLAIN = {
    "view": lambda x: x.view(2, 4, 36) if len(x) == 2 else x.view(1, 4, 36),
    "reshape": lambda x: x.reshape(len(x), -1),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 2),
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "swapdims": lambda x: x.swapdims(1, 2),
    "movedim": lambda x: x.movedim(1, -1),
    "moveaxis": lambda x: x.moveaxis(1, -1),
    "t": lambda x: x.flatten(1).t().t(),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "contiguous": lambda x: x.transpose(1, 2).contiguous(),
    "clone": lambda x: x.clone(),
    "getitem": lambda x: x[:, 1:, ::2],
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 0])),
    "gather": lambda x: x.gather(1, torch.ones(len(x), 1, 6, 6, dtype=torch.int64)),
    "take_along_dim": lambda x: x.take_along_dim(torch.ones(len(x), 1, 6, 6, dtype=torch.int64), 1),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "tile": lambda x: x.tile(1, 2, 1, 1),
    "cat": lambda x: torch.cat((x, x[:, :1]), 1),
    "concat": lambda x: torch.concat((x, x[:, :1]), 1),
    "concatenate": lambda x: torch.concatenate((x, x[:, :1]), 1),
    "stack": lambda x: torch.stack((x, x), 1),
    "hstack": lambda x: torch.hstack((x, x)),
    "vstack": lambda x: torch.vstack((x.movedim(0, 1), x.movedim(0, 1))).movedim(1, 0),
    "split": lambda x: x.split(3, 1)[0],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "tensor_split": lambda x: x.tensor_split(3, 1)[0],
    "split_with_sizes": lambda x: x.split_with_sizes([1, 3], 1)[1],
    "roll": lambda x: x.roll(1, 2),
    "flip": lambda x: x.flip(1),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "unfold": lambda x: x.unfold(2, 3, 1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "to": lambda x: x.to(torch.float64, copy=True),
    "type": lambda x: x.type(torch.float64),
    "type_as": lambda x: x.type_as(W),
    "double": lambda x: x.double(),
    "cpu": lambda x: x.cpu(),
    "view_as": lambda x: x.view_as(x),
    "reshape_as": lambda x: x.reshape_as(x),
    "broadcast_to": lambda x: x[:, :1].broadcast_to(x.shape),
    "as_strided": lambda x: x.as_strided((len(x), 36), (144, 1)),
    "alias": lambda x: torch.ops.aten.alias(x),
    "fold": lambda x: F.fold(x.flatten(2), (7, 7), 2),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(1),
    "diagonal": lambda x: x.diagonal(dim1=2, dim2=3),
    "where": lambda x: torch.where(W > 0, x, -1.0),
    "maximum": lambda x: torch.maximum(x, x.roll(1, 1)),
    "minimum": lambda x: torch.minimum(x, W),
    "amin": lambda x: x.amin(1),
    "abs": lambda x: x.abs(),
    "absolute": lambda x: torch.absolute(x),
    "setitem": doubled_first_channel,
    "avg_pool1d": lambda x: F.avg_pool1d(x.flatten(2), 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "avg_pool3d": lambda x: F.avg_pool3d(x, 2),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 3),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 2),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x, 2),
    "max_pool1d": lambda x: F.max_pool1d(x.flatten(2), 2),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool3d": lambda x: F.max_pool3d(x, 2),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x.flatten(2), 3),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 2),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x, 2),
    "max_pool2d_with_indices": lambda x: F.max_pool2d_with_indices(x, 2)[0],
    "mean": lambda x: x.mean((2, 3)),
    "sum": lambda x: x.sum((2, 3)),
    "amax": lambda x: x.amax((2, 3)),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "masked_fill": lambda x: x.masked_fill(W > 0, -1.0),
    "max": lambda x: torch.stack([image.max() for image in x])[:, None] + x.max(1).values.flatten(1),
    "min": lambda x: torch.stack([image.min() for image in x])[:, None] + x.min(1).values.flatten(1),
    "pad": lambda x: F.pad(x, (1, 1), value=-1.0),
    "add": lambda x: x.add_(x.roll(1, 1)),
    "sub": lambda x: 2 * x - x.roll(1, 1),
    "rsub": lambda x: 1 - x,
    "neg": lambda x: -x,
    "mul": lambda x: x * x.roll(1, 1) * 0.5 * W,
    "multiply": lambda x: torch.multiply(x, x.roll(1, 1)),
    "div": lambda x: x / 2,
    "divide": lambda x: x.divide(2),
    "true_divide": lambda x: torch.true_divide(x, W),
    "dropout": lambda x: F.dropout(x, training=False),
    "dropout1d": lambda x: F.dropout1d(x.flatten(2), training=False),
    "dropout2d": lambda x: F.dropout2d(x, training=False),
    "dropout3d": lambda x: F.dropout3d(x, training=False),
    "alpha_dropout": lambda x: F.alpha_dropout(x, training=False),
    "feature_dropout": lambda x: torch.feature_dropout(x, 0.5, False),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, training=False),
}
QUERIES = {
    "size": lambda x: x * x.size(1),
    "dim": lambda x: x * x.dim(),
    "numel": lambda x: x * (x.numel() // len(x)),
    "stride": lambda x: x * x.stride(1),
    "is_contiguous": lambda x: x * x.is_contiguous(),
    "is_floating_point": lambda x: x * x.is_floating_point(),
    "is_complex": lambda x: x + x.is_complex(),
    "get_device": lambda x: x * x.get_device(),
    "element_size": lambda x: x * x.element_size(),
    "storage_offset": lambda x: x * (1 + x.storage_offset()),
    "data_ptr": lambda x: x * bool(x.data_ptr()),
    "is_same_size": lambda x: x * x.is_same_size(x),
    "is_nonzero": lambda x: x + 0 * x.sum().is_nonzero(),
    "__len__": lambda x: x * bool(len(x)),
    "__repr__": lambda x: x * bool(repr(x)),
    "__format__": lambda x: x * bool(f"{x.sum():f}"),
    "__bool__": lambda x: x + 0 * bool(x.sum()),
    "new_zeros": lambda x: x + x.new_zeros(1),
    "new_ones": lambda x: x + x.new_ones(1),
    "new_empty": lambda x: x + x.new_empty(1).zero_(),
    "new_full": lambda x: x + x.new_full((1,), 2.0),
    "new_tensor": lambda x: x + x.new_tensor(2.0),
    "zeros_like": lambda x: x + torch.zeros_like(x),
    "ones_like": lambda x: x + torch.ones_like(x),
    "empty_like": lambda x: x + torch.empty_like(x).zero_(),
    "full_like": lambda x: x + torch.full_like(x, 2.0),
    "rand_like": lambda x: x + 0 * torch.rand_like(x),
    "bernoulli": lambda x: x + 0 * x.sigmoid().bernoulli(),
    "sym_size": lambda x: x * torch.ops.aten.sym_size(x, 1),
    "assert": lambda x: torch._assert(len(x) > 0, "empty") or x,
    "eq": lambda x: x + (x == 0),
    "ne": lambda x: x * (x != 0),
    "lt": lambda x: x * (x < 0),
    "le": lambda x: x * (x <= 0),
    "gt": lambda x: x.masked_fill(x > 0, 1.0),
    "ge": lambda x: torch.where(x >= 0, x, 2 * x),
    "isnan": lambda x: x.masked_fill(x.isnan(), 0.0),
    "isinf": lambda x: x.masked_fill(x.isinf(), 0.0),
    "isfinite": lambda x: torch.where(x.isfinite(), x, 0.0),
    "argmax": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "argmin": lambda x: x.gather(1, x.argmin(1, keepdim=True)),
}
WITH_TREATMENTS = {
    "relu": lambda x: F.relu(x, True),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": lambda x: F.silu(x, inplace=True),
    "hardswish": F.hardswish,
    "mish": F.mish,
    "tanh": torch.tanh,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "prelu": lambda x: F.prelu(x, BN_STATISTICS[1]),
    "softsign": F.softsign,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "sigmoid": lambda x: x * x.sigmoid(),
    "hardsigmoid": lambda x: x * F.hardsigmoid(x),
    "softplus": lambda x: x * F.softplus(x),
    "log_sigmoid": lambda x: x * F.logsigmoid(x),
    "softmax": lambda x: x.softmax(-1),
    "matmul": lambda x: x @ x.transpose(-2, -1),
    "bmm": lambda x: torch.bmm(x.flatten(2), x.flatten(2).transpose(1, 2)),
    "mm": lambda x: torch.mm(x.flatten(1), constant(144, 5)),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, 2 * x, x.roll(1, 1)),
    "linear": lambda x: F.linear(x, W),
    "conv1d": lambda x: F.conv1d(x.flatten(2), constant(3, 4, 3)),
    "conv2d": lambda x: F.conv2d(x, constant(4, 2, 3, 3), constant(4), 2, 1, groups=2),
    "conv3d": lambda x: F.conv3d(x[:, None], constant(3, 1, 2, 2, 2)),
    "batch_norm": lambda x: F.batch_norm(x, *BN_STATISTICS, constant(4), constant(4)),
    "layer_norm": lambda x: F.layer_norm(x, (6, 6)),
    "rms_norm": lambda x: F.rms_norm(x, (6,)),
    "group_norm": lambda x: F.group_norm(x, 2, constant(4), constant(4)),
    "normalize": lambda x: F.normalize(x, dim=1),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x.flatten(2), constant(4, 3, 2), stride=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, constant(4, 3, 2, 2), constant(6), 2, groups=2),
    "conv_transpose3d": lambda x: F.conv_transpose3d(x[:, None], constant(1, 2, 2, 2, 2)),
    "mv": lambda x: torch.stack([torch.mv(image.flatten(1), constant(36)) for image in x]),
    "addmm": lambda x: torch.addmm(constant(5), x.flatten(1), constant(144, 5)),
    "baddbmm": lambda x: torch.baddbmm(x[:, 0], x[:, 1], x[:, 2], beta=0.5, alpha=2.0),
    "einsum": lambda x: torch.einsum("nchw,ndhw->ncd", x, x.roll(1, 1)),
    "addcmul": lambda x: torch.addcmul(x, x.roll(1, 1), W, value=0.5),
    "addcdiv": lambda x: torch.addcdiv(W, x, x.roll(1, 1).square() + 1),
    "lerp": lambda x: torch.lerp(x, x.roll(1, 1), x.roll(2, 1)),
    "rdiv": lambda x: x * (2 / (x.square() + 1)),
    "reciprocal": lambda x: x * (x.square() + 1).reciprocal(),
    "pow": lambda x: x * (x**2 + 1) ** -0.5 + x**3,
    "square": torch.square,
    "sqrt": lambda x: (x.square() + 1).sqrt(),
    "rsqrt": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    "norm": lambda x: x / (x.norm(dim=1, keepdim=True) + 1),
    "linalg_norm": lambda x: x * (torch.linalg.norm(x, dim=1, keepdim=True) + 1),
    "linalg_vector_norm": lambda x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-3),
    "var": lambda x: x * (x.var(1, keepdim=True) + 1).rsqrt(),
    "std": lambda x: x / (x.std(1, keepdim=True) + 1),
    "var_mean": lambda x: (
        (x - torch.var_mean(x, 1, keepdim=True)[1]) / (torch.var_mean(x, 1)[0][:, None] + 1)
    ),
    "std_mean": lambda x: x / (torch.std_mean(x, 1, keepdim=True)[0] + 1),
    "clamp": lambda x: x.clamp(-0.5, 1.0) + x.clamp(min=0.3),
    "clip": lambda x: x.clip(min=0.0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_max": lambda x: x.clamp_max(0.5),
    "glu": lambda x: F.glu(x, 1),
}


class TestOperations(OperationSuite):
    cases: ClassVar[dict[str, Case]] = {
        **{name: Case(function) for name, function in (PLAIN | QUERIES | WITH_TREATMENTS).items()},
        "float": Case(lambda x: x.float(), tolerance=1e-6),
        "half": Case(lambda x: x.half(), tolerance=1e-2),
        "bfloat16": Case(lambda x: x.bfloat16(), tolerance=1e-1),
        "multi_head_attention_forward": Case(lambda x: MHA(x, x, x, need_weights=False)[0], (5, 8)),
    }


NOT_TESTED = {
    "cuda": "needs a GPU",
    "detach": "is always refused",
    "ndimension": "is dim in this version of PyTorch",
    "nelement": "is numel in this version of PyTorch",
}


def test_every_operation_is_tested() -> None:
    assert OPERATIONS.get("no such operation") is None  # all are loaded now
    assert set(OPERATIONS) - set(TestOperations.cases) == set(NOT_TESTED)


def test_an_activation_that_is_cut_off_is_refused() -> None:
    with pytest.raises(UnsupportedOperation, match="'detach' cuts an activation off"):
        trace_layers(FunctionNetwork(lambda x: x + x.detach()), constant(1, 2, 3, 3))
