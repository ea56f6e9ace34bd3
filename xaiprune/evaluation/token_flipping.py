"""Faithfulness of tokens' relevance: tokens are flipped, the most relevant and the least relevant first."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xaiprune.attribution.targets import Labels, by_image, check_fit, check_labels, labels_of, target_values
from xaiprune.embedding import Leaves
from xaiprune.errors import XaipruneError
from xaiprune.evaluation.faithfulness import Faithfulness
from xaiprune.forward import (
    Inputs,
    as_found,
    as_input,
    count_of,
    explained,
    logits_of,
    part_of,
    real_positions,
)


def token_faithfulness(
    model: nn.Module,
    texts: Inputs,
    labels: Labels,
    relevance: Tensor,
    *,
    steps: int = 10,
    batch_size: int = 16,
) -> Faithfulness:
    """Flip tokens in the order of their relevance and record the explained logit.

    The area between the curves is the measure of AttnLRP (arXiv 2402.05602, section 4.1). A flipped token's
    embedding is zero; its position stays.

    Args:
        model: In eval mode.
        texts: Ids (N, T), or a dict that has them as ``input_ids``; all of one length, without padding.
        labels: What is explained, as `xaiprune.attribute` takes it: (N,) classes, (N, T) tokens, or
            `TokenTargets`. Of several logits of a text their weighted sum is recorded.
        relevance: (N, T), one number for each token.
        steps: Points of the curves after the first, evenly spaced over the tokens.
        batch_size: Texts in one forward.

    Raises:
        XaipruneError: The texts are padded or are no ids, relevance is not finite or of another size, or
            labels do not fit the logits.
    """
    ids = _ids_of(texts)
    if relevance.shape != ids.shape:
        raise XaipruneError(f"relevance is {tuple(relevance.shape)}, the texts are {tuple(ids.shape)}")
    if not bool(relevance.isfinite().all()):
        raise XaipruneError("relevance of the tokens is not finite; choose another composite")
    if real_positions(texts, ids.shape) is not None:
        raise XaipruneError(
            "texts with padding cannot be flipped together; give those of one length at a time"
        )
    check_labels(labels, count_of(texts))
    order = relevance.argsort(dim=1, descending=True, stable=True).cpu()
    tokens = ids.shape[1]
    counts = np.unique(np.linspace(0, tokens, steps + 1).round().astype(int))
    parts = [slice(start, start + batch_size) for start in range(0, len(ids), batch_size)]

    def point(first: Tensor) -> np.ndarray:
        kept = torch.ones(ids.shape).scatter_(1, first, 0.0)
        values = [_explained_logits(model, part_of(texts, part), kept[part], labels, part) for part in parts]
        return torch.cat(values).double().cpu().numpy()

    ends = {count: point(order[:, :count]) for count in (0, tokens)}  # where the order makes no difference

    def curve(order: Tensor) -> np.ndarray:
        return np.stack([ends[n] if n in ends else point(order[:, :n]) for n in counts.tolist()])

    return Faithfulness(counts / tokens, curve(order), curve(order.flip(1)), of="texts")


def _ids_of(texts: Inputs) -> Tensor:
    given = explained(texts)
    ids = given.get("input", given.get("input_ids"))
    if ids is None or ids.is_floating_point() or ids.dim() != 2:
        raise XaipruneError("tokens can be flipped where the network is given ids (N, T), or 'input_ids'")
    return ids


def _explained_logits(model: nn.Module, texts: Inputs, kept: Tensor, labels: Labels, part: slice) -> Tensor:
    """(n,): the explained logit of some texts, of which only some tokens are kept."""
    given = as_input(model, texts)
    with torch.no_grad(), as_found(model):
        logits = logits_of(Leaves(given, kept).run(model))
    chosen = labels_of(labels, part, logits.device)
    check_fit(logits, chosen)
    return by_image(*target_values(logits, chosen), chosen)
