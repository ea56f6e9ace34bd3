"""What the consumers of units read on the reference images: samples, moments and ridge regression."""

from xaiprune.pruning.statistics.inputs import ConsumerInputs, consumer_inputs
from xaiprune.pruning.statistics.moments import Moments, Statistics, collect_moments, means, moments_by_part
from xaiprune.pruning.statistics.ridge import DEFAULT_STRENGTH, choose_ridge, ridge_map
from xaiprune.pruning.statistics.samples import (
    DenseSamples,
    all_samples,
    bytes_of_samples,
    dense_samples,
    samples_of_input,
    told_apart,
)
from xaiprune.pruning.statistics.stream import ImageStream

__all__ = [
    "DEFAULT_STRENGTH",
    "ConsumerInputs",
    "DenseSamples",
    "ImageStream",
    "Moments",
    "Statistics",
    "all_samples",
    "bytes_of_samples",
    "choose_ridge",
    "collect_moments",
    "consumer_inputs",
    "dense_samples",
    "means",
    "moments_by_part",
    "ridge_map",
    "samples_of_input",
    "told_apart",
]
