"""A plan applied to a network, for measuring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Pruned:
    """A network with a plan applied, ready to be measured.

    Attributes:
        model: The smaller network, or the dense one, to be masked.
        mask: Unit layer -> units that have to be masked in it.
    """

    model: nn.Module
    mask: Mapping[str, Sequence[int]] | None = None
