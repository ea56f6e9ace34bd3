"""Methods compared on the test split: rankings, the evaluator with its cache, and the table of results."""

from xaiprune.comparison.evaluator import TestEvaluator, curve_part, plain_figures, right_images, short_hash
from xaiprune.comparison.methods import Method, NetworkMethod, known_criteria, known_presets, rank
from xaiprune.comparison.peers import known_peers, peer_methods
from xaiprune.comparison.run import BEST, CRITERIA, RATES, SEEDS, compare, compare_on_test
from xaiprune.comparison.table import COLUMNS, Comparison, highest_rate, load, rivals, save, summary
from xaiprune.comparison.torch_pruning_peers import torch_pruning_network

__all__ = [
    "BEST",
    "COLUMNS",
    "CRITERIA",
    "RATES",
    "SEEDS",
    "Comparison",
    "Method",
    "NetworkMethod",
    "TestEvaluator",
    "compare",
    "compare_on_test",
    "curve_part",
    "highest_rate",
    "known_criteria",
    "known_peers",
    "known_presets",
    "load",
    "peer_methods",
    "plain_figures",
    "rank",
    "right_images",
    "rivals",
    "save",
    "short_hash",
    "summary",
    "torch_pruning_network",
]
