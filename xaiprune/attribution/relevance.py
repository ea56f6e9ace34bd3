"""Relevance per sample and unit, and how it becomes one score per unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from xaiprune.attribution.criteria.types import Scores
from xaiprune.errors import XaipruneError

AggregateMode = Literal["abs_of_sum", "signed", "sum_of_abs"]
ImageWeight = Literal["as_is", "equal", "confidence"]
Normalize = Literal["none", "sum", "max", "l2"]


@dataclass(frozen=True, repr=False)
class Relevance:
    """Relevance of every unit for every reference image, under one composite.

    Attributes:
        sums: Unit layer name -> (N, units) float32 on the CPU: relevance summed over space or tokens.
        abs_sums: The same sum over |relevance|.
        confidence: (N,) softmax probability of the right class.
    """

    sums: Mapping[str, Tensor]
    abs_sums: Mapping[str, Tensor]
    confidence: Tensor

    def __repr__(self) -> str:
        return f"Relevance({len(self.confidence)} images, {len(self.sums)} unit layers)"


@dataclass(frozen=True)
class Aggregation:
    """How per-image relevance becomes one score per unit.

    Attributes:
        mode: ``abs_of_sum``: sum over images of |sum over space| (PXP); ``signed``: sum over both, so that
            negative relevance ranks below zero; ``sum_of_abs``: sum of |R| over both (Yeom et al. 2021).
        image_weight: ``as_is``; ``equal``: every image's relevance is scaled to the same total |R| over all
            unit layers; ``confidence``: weighted by the probability of the right class.
        normalize: Divide each layer's scores by their sum, maximum or L2 norm (of absolute values).
    """

    mode: AggregateMode = "abs_of_sum"
    image_weight: ImageWeight = "as_is"
    normalize: Normalize = "none"

    def __post_init__(self) -> None:
        choices = {"mode": AggregateMode, "image_weight": ImageWeight, "normalize": Normalize}
        for key, allowed in choices.items():
            value = getattr(self, key)
            if value not in get_args(allowed):
                raise XaipruneError(
                    f"aggregation: {key} must be one of {', '.join(get_args(allowed))}, got '{value}'"
                )


def aggregate(relevance: Relevance, aggregation: Aggregation | None = None) -> Scores:
    """One score per unit, float64 on the CPU; higher means more relevant.

    Raises:
        XaipruneError: Relevance is NaN or infinite; names the layer.
    """
    aggregation = aggregation or Aggregation()
    source = relevance.abs_sums if aggregation.mode == "sum_of_abs" else relevance.sums
    weight = _image_weights(relevance, aggregation.image_weight)
    scores: Scores = {}
    for name, values in source.items():
        values = values.double()
        if aggregation.mode == "abs_of_sum":
            values = values.abs()
        score = (values * weight[:, None]).sum(0)
        if not bool(score.isfinite().all()):
            raise XaipruneError(
                f"layer {name}: relevance is not finite under this composite; raise its epsilon or stabilizer"
            )
        scores[name] = _normalized(score, aggregation.normalize)
    return scores


def _image_weights(relevance: Relevance, how: ImageWeight) -> Tensor:
    confidence = relevance.confidence.double()
    if how == "confidence":
        return confidence
    if how == "as_is":
        return torch.ones_like(confidence)
    total = torch.stack([values.double().sum(1) for values in relevance.abs_sums.values()]).sum(0)
    return torch.where(total > 0, 1 / total, 0)


def _normalized(score: Tensor, how: Normalize) -> Tensor:
    if how == "none":
        return score
    size = score.norm() if how == "l2" else score.abs().sum() if how == "sum" else score.abs().max()
    return score / size if size > 0 else score
