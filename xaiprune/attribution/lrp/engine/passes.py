"""The backward pass of one composite over a recorded forward: what its nodes ask, and where they report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.rules import Rule

Reader = Callable[[int, int, Tensor, Tensor], None]
"""Called with a tap's index, the number of this call of it, the activation, and gradient-form relevance g
(R = g * activation)."""


@dataclass
class Pass:
    """Shared by all nodes of one recording; filled again for every composite.

    The forward does not depend on rules, so nodes ask for theirs when the backward runs.
    """

    composite: Composite = field(default_factory=Composite)
    rules: dict[str, Rule] = field(default_factory=dict)
    read: Reader = lambda *_: None
    input_relevance: Tensor | None = None

    def begin(self, composite: Composite, rules: dict[str, Rule], read: Reader) -> None:
        """Set the composite that the next backward follows."""
        self.composite, self.rules, self.read = composite, rules, read
        self.input_relevance = None

    def add_input_relevance(self, relevance: Tensor) -> None:
        """Relevance of the image from a rule that has no gradient form."""
        total = self.input_relevance
        self.input_relevance = relevance if total is None else total + relevance
