"""What auto means for the neurons and heads of a language model."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from transformers import LlamaConfig, LlamaForCausalLM

from xaiprune.recipe import auto_recipe
from xaiprune.units import find_units


def test_neurons_are_ordered_by_error_and_heads_by_score() -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes)).eval()
    example = torch.zeros(1, 5, dtype=torch.int64)
    neurons, heads = (
        auto_recipe(network, find_units(network, kind, example=example), example)
        for kind in ("neurons", "heads")
    )
    assert (neurons.order, neurons.aggregation.mode, neurons.scope) == ("error", "sum_of_abs", "global")
    assert (heads.order, heads.aggregation.mode, heads.scope) == ("score", "abs_of_sum", "global")
