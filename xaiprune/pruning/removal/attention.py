"""Self-attention with any number of heads, which replaces torch's own when heads are removed.

``nn.MultiheadAttention`` ties the number of heads to the embedding's size; this module does not.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.units import infer_sizes


class SelfAttention(nn.Module):
    """Multi-head self-attention that can be called as ``nn.MultiheadAttention`` is.

    Args:
        embed_dim: Channels of a token.
        num_heads: Heads.
        head_dim: Channels of a head.
        bias: Whether the projections have biases.
        batch_first: Whether tokens are given as (N, L, C), else (L, N, C).
    """

    # nn.TransformerEncoderLayer asks for it; where there is none, it does without its fused kernel.
    in_proj_bias = None

    def __init__(
        self, embed_dim: int, num_heads: int, head_dim: int, bias: bool = True, batch_first: bool = True
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.batch_first = batch_first
        self.qkv = nn.Linear(embed_dim, 3 * num_heads * head_dim, bias=bias)
        self.out_proj = nn.Linear(num_heads * head_dim, embed_dim, bias=bias)

    @staticmethod
    def from_multihead(module: nn.MultiheadAttention) -> "SelfAttention":
        """The same function as torch's module, for self-attention; the parameters are shared.

        Raises:
            XaipruneError: If the module is of a form that image classifiers do not use (other key or value
                sizes, added keys, attention dropout).
        """
        if not module._qkv_same_embed_dim or module.bias_k is not None or module.add_zero_attn:
            raise XaipruneError(
                "heads of nn.MultiheadAttention with kdim, vdim, bias_k or add_zero_attn cannot be removed"
            )
        if module.dropout:
            raise XaipruneError("heads of nn.MultiheadAttention with attention dropout cannot be removed")
        new = SelfAttention(
            module.embed_dim,
            module.num_heads,
            module.head_dim,
            module.in_proj_bias is not None,
            module.batch_first,
        ).to(module.in_proj_weight)
        new.qkv.weight = module.in_proj_weight
        new.qkv.bias = module.in_proj_bias
        new.out_proj.weight = module.out_proj.weight
        new.out_proj.bias = module.out_proj.bias
        new.train(module.training)
        return new

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Attend.

        Args:
            query: (N, L, C) or, without ``batch_first``, (L, N, C); ``key`` and ``value`` must be the same.
            key_padding_mask: Not supported, must be None.
            need_weights: The weights are never returned.
            attn_mask: As in ``nn.MultiheadAttention``.

        Raises:
            XaipruneError: For cross-attention or a padding mask.
        """
        if key is not query or value is not query or key_padding_mask is not None:
            raise XaipruneError("a pruned attention module does only self-attention without a padding mask")
        tokens = query if self.batch_first else query.transpose(0, 1)
        batch, length, _c = tokens.shape
        qkv = self.qkv(tokens).view(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # torch's module masks where True, its function where False
        merged = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        output = self.out_proj(merged.transpose(1, 2).flatten(2))
        return (output if self.batch_first else output.transpose(0, 1)), None


def replace_multihead_(model: nn.Module, name: str) -> SelfAttention:
    """Replace the ``nn.MultiheadAttention`` of that name by a `SelfAttention`."""
    module = model.get_submodule(name)
    if not isinstance(module, nn.MultiheadAttention):
        raise XaipruneError(f"{name} is not an nn.MultiheadAttention")
    new = SelfAttention.from_multihead(module)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)
    return new


def replace_attention_(model: nn.Module, name: str) -> None:
    """Replace the attention module of that name by one that can have fewer heads, as removal does."""
    module = model.get_submodule(name)
    if isinstance(module, nn.MultiheadAttention):
        replace_multihead_(model, name)
    else:
        for kind in infer_sizes(type(module)):
            module.__class__ = kind
