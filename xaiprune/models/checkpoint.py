"""Weights from a file, safetensors or torch; code in the file is never run."""

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import clean_state_dict, load_state_dict
from torch import nn

from xaiprune.errors import XaipruneError

_SHOWN = 4  # keys named in a message


def load_checkpoint_(model: nn.Module, path: str | Path) -> None:
    """Load a file's weights into the network, in place.

    Args:
        model: Gets the weights, converted to its own precision.
        path: ``.safetensors``, or a torch file (a state dict, or a training checkpoint with one in it).

    Raises:
        XaipruneError: No such file, no readable weights, or weights of another network; names the keys.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise XaipruneError(f"model.checkpoint: no such file: {path}")
    weights = _read(file)
    own = model.state_dict()
    # Files of old torch versions lack BatchNorm's counters of batches; inference does not use them.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in weights if k not in own]
    shapes = [
        f"{k} is {list(weights[k].shape)} and should be {list(own[k].shape)}"
        for k in own
        if k in weights and weights[k].shape != own[k].shape
    ]
    if missing or unexpected or shapes:
        problems = "; ".join(
            f"{what}: {_shorten(keys)}"
            for what, keys in (("missing", missing), ("unexpected", unexpected), ("shape", shapes))
            if keys
        )
        raise XaipruneError(f"{path} does not fit {_name(model)} ({problems}){_advice(model, weights)}")
    model.load_state_dict(weights, strict=False)


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        weights = load_state_dict(str(file), device="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise XaipruneError(
            f"model.checkpoint: cannot read weights from {file} ({_reason(error)}); expected safetensors "
            "or a torch state dict"
        ) from error
    except AttributeError as error:  # timm's, if the file holds no dictionary
        raise XaipruneError(f"model.checkpoint: {file} holds no state dict") from error
    if _is_state(weights):
        return weights
    states = [key for key, value in weights.items() if _is_state(value)]
    if len(states) == 1:  # {"model_state_dict": ..., "optimizer_state_dict": ...}, of PyTorch's own tutorials
        return clean_state_dict(weights[states[0]])
    several = f", but {len(states)}: {_shorten(states)}; save one of them" if states else ""
    raise XaipruneError(f"model.checkpoint: {file} holds not one state dict of tensors{several}")


def _is_state(value: Any) -> bool:
    """Whether this is a dictionary of tensors alone."""
    return (
        isinstance(value, dict) and bool(value) and all(isinstance(v, torch.Tensor) for v in value.values())
    )


def _reason(error: Exception) -> str:
    """What is wrong with a file, without torch's advice to run the code in it."""
    text = str(error)
    if found := re.search(r"(?:GLOBAL|globals:) ([\w.]+\w)", text):
        return f"it holds {found[1]}, which is code, and code is not run; save model.state_dict() alone"
    if "weights_only" in text:  # of TorchScript and of the oldest formats
        return "it holds more than tensors, which is not opened; save model.state_dict() alone"
    if isinstance(error, pickle.UnpicklingError):
        return "it is no torch file"
    return text.splitlines()[0] if text else type(error).__name__


def _advice(model: nn.Module, weights: dict[str, torch.Tensor]) -> str:
    classifier = getattr(model, "pretrained_cfg", {}).get("classifier")
    if isinstance(classifier, str) and f"{classifier}.weight" in weights:
        found = len(weights[f"{classifier}.weight"])
        if found != getattr(model, "num_classes", found):
            return f"; its classifier has {found} outputs: set model.kwargs.num_classes={found}"
    return "; is it for another model, or for other model.kwargs?"


def _name(model: nn.Module) -> str:
    return getattr(model, "pretrained_cfg", {}).get("architecture") or type(model).__name__


def _shorten(keys: Sequence[str]) -> str:
    rest = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + rest
