"""Torch-Pruning's own one-shot pruning, at a part of the MACs that is asked for."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from xaiprune.data import Task
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import macs
from xaiprune.forward import as_input
from xaiprune.units import BatchNormWrittenOut, evaluating, find_links

# Ratios are tried in these parts. Finer ones change no layer of up to 256 channels.
_PARTS = 256
_IMPORTANCES = {
    "taylor": torch_pruning.importance.GroupTaylorImportance,
    "magnitude": torch_pruning.importance.GroupMagnitudeImportance,
}


def torch_pruning_network(
    model: nn.Module,
    example: Tensor,
    importance: str,
    macs_fraction: float,
    images: Tensor,
    labels: Tensor,
    task: Task | None = None,
) -> nn.Module:
    """The network that Torch-Pruning makes of a network in one shot; see `OneShot`.

    Args:
        model: The dense network; unchanged.
        example: One input, (1, 3, H, W).
        importance: ``taylor`` or ``magnitude``.
        macs_fraction: Part of the dense network's MACs that is left, as nearly as channels allow.
        images: Reference images (N, 3, H, W), normalised; ``taylor`` uses them.
        labels: (N,) int64, indices into the task's classes.
        task: Selects the logits; None: the network's outputs.

    Raises:
        XaipruneError: The library does not take the network.
    """
    return OneShot(model, example, importance, images, labels, task).network(macs_fraction)


class OneShot:
    """Torch-Pruning (Fang et al. 2023, arXiv 2301.12900) with its defaults and without fine-tuning.

    Every group of coupled channels loses the same part, which is chosen so that the wanted MACs are left. The
    classifier is ignored, as in the library's examples. ``taylor`` is its GroupTaylorImportance (Molchanov et
    al. 2019) with the gradient of the cross-entropy of all reference images, ``magnitude`` its
    GroupMagnitudeImportance. It prunes residual streams, too, and knows nothing of a session's units.

    Args:
        model: The dense network; unchanged.
        example: One input, (1, 3, H, W), on its device.
        importance: ``taylor`` or ``magnitude``.
        images: Reference images (N, 3, H, W), normalised.
        labels: (N,) int64, indices into the task's classes.
        task: Selects the logits; None: the network's outputs.
        batch_size: Images in one forward and backward.

    Raises:
        XaipruneError: Unknown importance.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        importance: str,
        images: Tensor,
        labels: Tensor,
        task: Task | None = None,
        batch_size: int = 32,
    ) -> None:
        if importance not in _IMPORTANCES:
            known = ", ".join(_IMPORTANCES)
            raise XaipruneError(f"Torch-Pruning: unknown importance {importance}; choose from {known}")
        self._importance = importance
        self._example = example
        self._classifiers = find_links(model, (), example).classifiers
        self._model = copy.deepcopy(model).eval().requires_grad_(True)
        self._dense_macs = macs(model, example)
        self._left: dict[int, float] = {0: 1.0}
        if importance == "taylor":
            self._accumulate_gradients(images, labels, task, batch_size)

    def network(self, macs_fraction: float) -> nn.Module:
        """The network whose MACs are nearest to a part of the dense network's; eval mode.

        Raises:
            XaipruneError: The library does not take the network.
        """
        low, high = 0, self._highest()
        while high - low > 1:
            middle = (low + high) // 2
            if self._macs_left(middle) > macs_fraction:
                low = middle
            else:
                high = middle
        nearest = min((low, high), key=lambda part: abs(self._macs_left(part) - macs_fraction))
        return self._pruned(nearest)

    def _highest(self) -> int:
        """The highest ratio in parts at which every layer keeps a channel: beyond, the library skips some."""
        least = _PARTS
        for name, module in self._model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and name not in self._classifiers:
                channels = module.weight.shape[0]
                groups = getattr(module, "groups", 1)
                least = min(least, channels if groups == channels else channels // groups)
        return _PARTS - -(-_PARTS // least)

    def _macs_left(self, part: int) -> float:
        if part not in self._left:
            self._left[part] = macs(self._pruned(part), self._example) / self._dense_macs
        return self._left[part]

    def _pruned(self, part: int) -> nn.Module:
        """The network at a ratio of ``part / _PARTS``."""
        model = copy.deepcopy(self._model)
        for own, parameter in zip(self._model.parameters(), model.parameters(), strict=True):
            parameter.grad = None if own.grad is None else own.grad.clone()  # copies come without
        # The library fails on what it cannot take in many ways, with whatever Python raises.
        try:
            with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad():
                warnings.simplefilter("ignore")
                pruner = torch_pruning.pruner.BasePruner(
                    model,
                    self._example.clone(),
                    _IMPORTANCES[self._importance](),
                    pruning_ratio=part / _PARTS,
                    ignored_layers=[model.get_submodule(name) for name in self._classifiers],
                    # Its own defaults are one dictionary for all pruners, which would collect their modules.
                    in_channel_groups={},
                    out_channel_groups={},
                    num_heads={},
                )
                pruner.step()
            _release_(pruner.DG)
            with torch.no_grad():
                model(self._example)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise XaipruneError(f"Torch-Pruning does not take this network ({reason})") from error
        model.zero_grad(set_to_none=True)
        return model

    @torch.inference_mode(False)
    def _accumulate_gradients(
        self, images: Tensor, labels: Tensor, task: Task | None, batch_size: int
    ) -> None:
        """Gradients of the mean cross-entropy over the images, at the weights."""
        with evaluating(self._model), torch.enable_grad(), BatchNormWrittenOut():
            for start in range(0, len(images), batch_size):
                part = slice(start, start + batch_size)
                outputs = self._model(as_input(self._model, images[part]).clone())
                logits = outputs if task is None else task.select(outputs)
                target = labels[part].to(logits.device).clone()
                loss = nn.functional.cross_entropy(logits, target, reduction="sum") / len(images)
                loss.backward()


def _release_(graph: Any) -> None:
    """Empty a dependency graph that is no longer needed.

    Its nodes refer to each other and to the trace, which holds activations: a search would accumulate
    gigabytes of networks before Python's garbage collector finds the cycles.
    """
    for node in graph.module2node.values():
        for linked in (node.inputs, node.outputs, node.dependencies):
            linked.clear()
        node.module = node.grad_fn = None
    graph.module2node.clear()
