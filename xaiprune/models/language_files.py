"""Language models as they are written: how one is built again, and how transformers opens it alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.models.language import HEADS_BY_ENDING, config_of, import_transformers, source_of

_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "d_ff")  # of an MLP, in configurations


def description_of(model: nn.Module) -> dict[str, Any]:
    """What `network_of` builds a network of this class and configuration from: plain data.

    Raises:
        XaipruneError: It is no network of transformers.
    """
    name = type(model).__name__
    if not hasattr(model, "config") or not name.endswith(tuple(HEADS_BY_ENDING)):
        raise XaipruneError(f"{name} is no language model of transformers; give the name of its architecture")
    return {"class": name, "config": json.loads(config_of(model).to_json_string())}


def network_of(description: Mapping[str, Any]) -> nn.Module:
    """A network with random weights, from `description_of`.

    Raises:
        XaipruneError: The installed transformers has no such class, or the description is not complete.
    """
    transformers = import_transformers()
    name, config = str(description.get("class")), description.get("config")
    kind = getattr(transformers, name, None) if name.endswith(tuple(HEADS_BY_ENDING)) else None
    if kind is None or not isinstance(config, Mapping):
        raise XaipruneError(f"transformers {transformers.__version__} has no language model '{name}'")
    model: nn.Module = kind(transformers.AutoConfig.for_model(**config))
    return model.eval()


def write_for_transformers(model: nn.Module, folder: Path) -> dict[str, Tensor] | None:
    """Write ``config.json``, with which transformers opens the network alone, if it can.

    It can where all MLPs have one width and nothing else differs from what a configuration says. Biases that
    compensation has added need a class that has such biases (Llama), and zeros for the others.

    Args:
        model: A network of transformers, maybe pruned.
        folder: Where to; the weights are the caller's to write.

    Returns:
        The zeros that belong to the weights; None if transformers cannot open the network, and nothing was
        written.
    """
    state = {name: tensor.shape for name, tensor in model.state_dict().items()}
    fitting = next(filter(None, (_fitting(model, state, key) for key in (None, *_WIDTHS))), None)
    if fitting is None:
        return None
    config, zeros = fitting
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)  # type: ignore[union-attr,operator]
    return zeros


def _fitting(
    model: nn.Module, state: Mapping[str, torch.Size], key: str | None
) -> tuple[Any, dict[str, Tensor]] | None:
    """A configuration of which these are the weights' sizes, and the biases that it has besides.

    Args:
        model: The network.
        state: Its weights' sizes.
        key: Where the configuration says the MLPs' width; None: they have the dense network's.
    """
    dense, config = config_of(model), copy.deepcopy(config_of(model))
    before = _shapes(type(model), dense)
    if key is not None:
        if not hasattr(dense, key):
            return None
        width = getattr(dense, key) or 4 * dense.hidden_size
        new = {
            size * width // was
            for name, shape in state.items()
            for size, was in zip(shape, before.get(name, shape), strict=True)
            if size != was
        }
        if len(new) != 1:
            return None
        setattr(config, key, new.pop())
    if hasattr(config, "mlp_bias") and any(name.endswith("mlp.down_proj.bias") for name in state):
        config.mlp_bias = True
    wanted = _shapes(type(model), config)
    zeros = {name: torch.zeros(shape) for name, shape in wanted.items() if name not in state}
    same = all(wanted.get(name) == shape for name, shape in state.items())
    return (config, zeros) if same and all(name.endswith(".bias") for name in zeros) else None


def copy_tokenizer(path: str, folder: Path) -> None:
    """Write a language model's tokenizer beside a pruned network, so that the folder is whole.

    Args:
        path: As `open_language_model` takes it.
        folder: Of the pruned network.
    """
    source, options = source_of(path)
    import_transformers().AutoTokenizer.from_pretrained(source, **options).save_pretrained(folder)


def _shapes(kind: type[nn.Module], config: Any) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in kind(config).state_dict().items()}
