"""Gives attention modules the sizes that belong to fewer heads, wherever their forward takes these from.

Numbers of heads and their widths are known by the names that libraries use. Further attributes are found by
trying: those that hold either number, whatever they are called (Hiera's ``dim_out``, the bias shapes of
MaxViT). Other forwards take the width of their heads from their input's channels (``C`` in ``B, N, C =
x.shape``), which stay; `InferredSizes` lets ``reshape`` and ``view`` infer it instead. It is the output
that decides: it has to be that of the masked module.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from xaiprune.errors import XaipruneError
from xaiprune.units.copying import copied
from xaiprune.units.cutting import FORWARD_ERRORS
from xaiprune.units.layer import UnitLayer

HEAD_COUNTS = ("num_heads", "n_heads", "heads", "num_attention_heads")
_WIDTHS = ("attn_dim", "all_head_dim", "inner_dim", "all_head_size", "split_size")
KEY_COUNTS, QUERIES_OF_A_KEY = "num_key_value_heads", "num_key_value_groups"
_CLOSE = 1e-8  # of the largest output, in float64
# A part of a module, its attribute, and the value that this gets.
_Change = tuple[str, str, Any]


def set_sizes_of_heads_(module: nn.Module, layer: UnitLayer, heads: int, groups: int) -> None:
    """The numbers that attention modules keep: of heads, of groups of heads, and of channels."""
    for part in module.modules():
        shared = getattr(part, QUERIES_OF_A_KEY, 1)
        keys = layer.units // shared
        new = dict.fromkeys(HEAD_COUNTS, (layer.units, heads))
        new |= dict.fromkeys(_WIDTHS, (layer.units * layer.width, heads * layer.width))
        left = keys if keys == 1 else groups  # keys and values of all heads stay
        new |= {KEY_COUNTS: (keys, left), QUERIES_OF_A_KEY: (shared, heads // left)}
        for attribute, (before, after) in new.items():
            if vars(part).get(attribute) == before:
                setattr(part, attribute, after)


@torch.no_grad()
def fit_(
    shrunk: nn.Module,
    masked: nn.Module,
    layer: UnitLayer,
    heads: int,
    call: tuple[tuple[Any, ...], dict[str, Any]],
) -> None:
    """Make a module that lost heads compute what the masked one does, by as few changes as it takes.

    Args:
        shrunk: Has the tensors and the known sizes of fewer heads; changed in place.
        masked: The original module without the outputs of the removed heads.
        layer: The original module's heads.
        heads: How many are left.
        call: Arguments of one call in float64.

    Raises:
        XaipruneError: If nothing that was tried does.
    """
    trial = copied(shrunk).double()
    expected = _output(masked, call)
    failure: Exception | None = None
    for kind in (type(shrunk), *infer_sizes(type(shrunk))):
        trial.__class__ = kind
        for changes in _some_of(list(_changes(trial, layer, heads))):
            before = _set_(trial, changes)
            try:
                difference = (_output(trial, call) - expected).abs().max()
            except FORWARD_ERRORS as error:
                failure = error
            else:
                if bool(difference <= _CLOSE * expected.abs().max()):
                    shrunk.__class__ = kind
                    _set_(shrunk, changes)
                    return
            _set_(trial, before)
    raise XaipruneError(
        f"{layer.name} ({type(shrunk).__name__}) computes with its original number of heads; "
        "they can only be masked"
    ) from failure


def _output(module: nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Tensor:
    module.train()  # by their convention, modules drop what they have cached on the way to training mode
    module.eval()
    outputs = tree_leaves(module(*call[0], **call[1]))
    return next(each for each in outputs if isinstance(each, Tensor))


def _changes(module: nn.Module, layer: UnitLayer, heads: int) -> Iterator[_Change]:
    """Attributes that hold the original number of heads or of their channels, each with its new value."""
    new = {layer.units: heads, layer.units * layer.width: heads * layer.width}
    for name, part in module.named_modules():
        if type(part).__module__.startswith("torch.nn."):
            continue  # their sizes follow from their tensors
        for attribute, value in vars(part).items():
            if type(value) is int and value in new:
                yield name, attribute, new[value]
            elif isinstance(value, tuple):
                for place, entry in enumerate(value):
                    if type(entry) is int and entry in new:
                        yield name, attribute, (*value[:place], new[entry], *value[place + 1 :])


def _some_of(changes: Sequence[_Change]) -> Iterator[tuple[_Change, ...]]:
    """None of them, one, and two."""
    return chain.from_iterable(combinations(changes, count) for count in range(3))


def _set_(module: nn.Module, changes: Sequence[_Change]) -> list[_Change]:
    """Set attributes; returns what sets them back, in that order."""
    before: list[_Change] = []
    for name, attribute, value in changes:
        part = module.get_submodule(name)
        before.insert(0, (name, attribute, getattr(part, attribute)))
        setattr(part, attribute, value)
    return before


# One class for each, so that copies have the same.
_INFERRING: dict[type[nn.Module], tuple[type[nn.Module], ...]] = {}


class InferredSizes(nn.Module):
    """Base of the classes of `infer_sizes`; copying and pickling finds them by the original class."""

    original: type[nn.Module]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """The original class, and the state."""
        return _empty, (self.original,), self.__dict__.copy()


def _empty(original: type[nn.Module]) -> nn.Module:
    (kind,) = infer_sizes(original)
    return kind.__new__(kind)


def infer_sizes(original: type[nn.Module]) -> tuple[type[nn.Module], ...]:
    """The subclass of a module's class that computes the same, but infers sizes of what it reshapes.

    In calls of ``reshape`` and ``view`` without a -1, the one size that was computed from the last size of a
    ``shape`` becomes -1. Where the original runs, that is the same number; so no output changes.

    Args:
        original: A class whose source can be read.

    Returns:
        One class, or none where there is no such call.
    """
    if original not in _INFERRING:
        _INFERRING[original] = _subclass(original)
    return _INFERRING[original]


def _subclass(original: type[nn.Module]) -> tuple[type[nn.Module], ...]:
    methods: dict[str, Any] = {}
    for name in dir(original):
        method = inspect.getattr_static(original, name)
        if isinstance(method, FunctionType) and not method.__module__.startswith("torch."):
            inferred = _inferred(method)
            if inferred is not None:
                methods[name] = inferred
    if not methods or issubclass(original, InferredSizes):
        return ()
    names = {"original": original, "__module__": original.__module__, "__doc__": original.__doc__}
    return (type(original.__name__, (InferredSizes, original), methods | names),)


def _inferred(method: FunctionType) -> FunctionType | None:
    """The method with sizes that are inferred; None if it has none or cannot be compiled by itself."""
    try:
        lines, first = inspect.getsourcelines(method)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError):
        return None
    (definition,) = tree.body
    if not isinstance(definition, ast.FunctionDef) or definition.decorator_list or method.__closure__:
        return None
    same, own = _code(tree, method), method.__code__
    if (same.co_names, same.co_varnames) != (own.co_names, own.co_varnames):
        return None  # names of two underscores, or a file that has changed since
    sizes = _Sizes(_channels(definition))
    sizes.visit(definition)
    if not sizes.found:
        return None
    ast.increment_lineno(tree, first - 1)
    code = _code(ast.fix_missing_locations(tree), method)
    new = FunctionType(code, method.__globals__, method.__name__, method.__defaults__)
    new.__kwdefaults__ = method.__kwdefaults__
    return new


def _code(tree: ast.Module, method: FunctionType) -> CodeType:
    """What a method's definition compiles to."""
    compiled = compile(tree, method.__code__.co_filename, "exec", dont_inherit=True)
    codes = (each for each in compiled.co_consts if isinstance(each, CodeType))
    return next(each for each in codes if each.co_name == method.__code__.co_name)


def _channels(definition: ast.FunctionDef) -> set[str]:
    """Names of the last sizes of shapes, and of what is computed from these."""
    names: set[str] = set()
    assignments = [node for node in ast.walk(definition) if isinstance(node, ast.Assign)]
    for node in sorted(assignments, key=lambda each: each.lineno):
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Attribute):
            last = target.elts[-1]
            if node.value.attr == "shape" and isinstance(last, ast.Name):
                names.add(last.id)
        elif (
            isinstance(target, ast.Name) and isinstance(node.value, ast.BinOp) and _names(node.value) & names
        ):
            names.add(target.id)
    return names


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


class _Sizes(ast.NodeTransformer):
    """Replaces sizes that can be inferred by -1."""

    def __init__(self, channels: set[str]) -> None:
        self.channels = channels
        self.found = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call of ``reshape`` or ``view``."""
        self.generic_visit(node)
        of_shape = isinstance(node.func, ast.Attribute) and node.func.attr in ("reshape", "view")
        if not of_shape or any(isinstance(each, ast.Starred) or _is_inferred(each) for each in node.args):
            return node
        places = [place for place, each in enumerate(node.args) if _names(each) & self.channels]
        if len(places) == 1:
            size = ast.UnaryOp(ast.USub(), ast.Constant(1))
            node.args[places[0]] = ast.copy_location(size, node.args[places[0]])
            self.found = True
        return node


def _is_inferred(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
