"""Finds attention heads by their dataflow: weights times values, merged, and read by a linear layer."""

from dataclasses import dataclass

from torch import nn

from xaiprune.units.flow import Flow, Op
from xaiprune.units.operations import LINEAR
from xaiprune.units.weights import is_linear

_MERGING = frozenset(
    [
        "transpose",
        "permute",
        "reshape",
        "view",
        "flatten",
        "contiguous",
        "dropout",
        "mul",
        "__mul__",
        "layer_norm",
        "rms_norm",
        "squeeze",
        "movedim",
        "clone",
        "__getitem__",
    ]
)
_AFTER_SOFTMAX = frozenset(
    [
        "dropout",
        "permute",
        "transpose",
        "linear",
        "contiguous",
        "to",
        "type",
        "type_as",
        "clone",
        "reshape",
        "view",
    ]
)
_MATMUL = frozenset(["matmul", "__matmul__", "bmm"])


@dataclass(frozen=True)
class Attention:
    """One attention module.

    Attributes:
        name: Qualified name of the module that holds it (``blocks.0.attn``).
        projection: Qualified name of the linear layer that reads the merged heads.
        heads: Number of heads.
        head_dim: Channels of a head.
        mixed: Whether heads read one another (talking heads, a norm over all of them).
    """

    name: str
    projection: str
    heads: int
    head_dim: int
    mixed: bool = False


def find_attention(flow: Flow) -> list[Attention]:
    """Every multi-head attention of the traced network, in execution order."""
    found: dict[str, Attention] = {}
    for op in flow.ops:
        if op.name == "multi_head_attention_forward":
            module = flow.modules[op.module]
            if isinstance(module, nn.MultiheadAttention):
                own = Attention(op.module, f"{op.module}.out_proj", module.num_heads, module.head_dim)
                found.setdefault(op.module, own)
            continue
        passed: list[str] = []
        if op.name == "scaled_dot_product_attention":
            merged = op
        elif op.name == "softmax":
            path = _follow(flow, op, _AFTER_SOFTMAX, _MATMUL)
            if path is None:
                continue
            merged, passed = path
        else:
            continue
        attention = _merged_heads(flow, op, merged, passed)
        if attention is not None:
            found.setdefault(attention.name, attention)
    return list(found.values())


def _follow(flow: Flow, op: Op, through: frozenset[str], to: frozenset[str]) -> tuple[Op, list[str]] | None:
    """The first operation of the set ``to`` that reads ``op``'s result, and the names of those between."""
    frontier: list[tuple[int, list[str]]] = [(value, []) for value in op.outputs]
    seen = set(op.outputs)
    while frontier:
        value, passed = frontier.pop(0)
        for reader in flow.consumers.get(value, []):
            if reader.name in to:
                return reader, passed
            if reader.name in through:
                frontier += [(made, [*passed, reader.name]) for made in reader.outputs if made not in seen]
                seen.update(reader.outputs)
    return None


def _merged_heads(flow: Flow, softmax: Op, product: Op, passed: list[str]) -> Attention | None:
    """The attention whose weights-times-values is ``product``, if a linear layer reads its merged heads."""
    shape = flow.shape(product.outputs[0])
    path = _follow(flow, product, _MERGING, LINEAR)
    if len(shape) != 4 or path is None or not is_linear(flow.modules.get(path[0].module)):
        return None
    projection = path[0]
    heads, head_dim = shape[1], shape[3]
    if flow.shape(projection.inputs[0])[-1] != heads * head_dim:
        return None
    inner = softmax.module
    if isinstance(flow.modules[inner], nn.Softmax):
        inner = inner.rpartition(".")[0]
    mixed = bool({"linear", "layer_norm", "rms_norm"} & {*passed, *path[1]})
    name = _common(inner, projection.module)
    return Attention(name, projection.module, heads, head_dim, mixed)


def _common(first: str, second: str) -> str:
    """Qualified name of the innermost module that holds both."""
    common = []
    for left, right in zip(first.split("."), second.split("."), strict=False):
        if left != right:
            break
        common.append(left)
    return ".".join(common)
