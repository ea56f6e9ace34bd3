"""Run in a process of its own, since lxt patches classes for good: relevance of a tiny network by lxt.

    python -m tests.attribution.lxt_reference NAME FILE

writes what the network's embeddings receive from the logit of `TOKEN` at the last position.
"""

from __future__ import annotations

import importlib
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TOKEN = 3


class Interfaces(dict[str, Any]):
    def get_interface(self, name: str, default: Any) -> Any:
        return self.get(name, default)


def bert_map(modeling: types.ModuleType) -> dict[Any, Any]:
    """What lxt changes in its copy of BERT, by lxt's own functions, for transformers' own BERT."""
    from lxt.efficient.patches import layer_norm_forward, patch_attention, patch_method
    from lxt.efficient.rules import identity_rule_implicit

    def intermediate(self: Any, x: Tensor) -> Tensor:
        return identity_rule_implicit(self.intermediate_act_fn, self.dense(x))

    def pooler(self: Any, x: Tensor) -> Tensor:
        return identity_rule_implicit(self.activation, self.dense(x[:, 0]))

    return {
        modeling.BertIntermediate: partial(patch_method, intermediate),
        modeling.BertPooler: partial(patch_method, pooler),
        torch.nn.LayerNorm: partial(patch_method, layer_norm_forward),
        modeling: patch_attention,
    }


def patch(module: str) -> None:
    """Let lxt patch transformers' module of that name (``modeling_llama``)."""
    # lxt has a copy of BERT that needs transformers 4, and imports it with all others.
    missing = types.ModuleType("lxt.efficient.models.bert")
    missing.attnLRP = missing.cp_LRP = {}  # type: ignore[attr-defined]
    missing.modeling_bert = missing  # type: ignore[attr-defined]
    sys.modules[missing.__name__] = missing
    from lxt.efficient import monkey_patch

    family = module.removeprefix("modeling_")
    patched = importlib.import_module(f"transformers.models.{family}.{module}")
    monkey_patch(patched, bert_map(patched) if family == "bert" else None)
    # lxt puts a plain dictionary in the place of transformers' table, which has had a method more since.
    patched.ALL_ATTENTION_FUNCTIONS = Interfaces(patched.ALL_ATTENTION_FUNCTIONS)  # type: ignore[attr-defined]


def relevance(name: str, attention: str) -> Tensor:
    """Embeddings times the gradient that lxt's patches leave of the logit."""
    from tests.attribution.test_transformers import TEXT, LastToken, build, embeddings

    model = LastToken(build(TEXT[name], attention))
    patch(type(model.model).__module__.rpartition(".")[2])
    model.model.requires_grad_(False)
    x = embeddings().requires_grad_()
    model(x)[:, TOKEN].sum().backward()
    assert x.grad is not None
    return (x * x.grad).detach()


if __name__ == "__main__":
    torch.save(relevance(sys.argv[1], "eager"), Path(sys.argv[2]))
