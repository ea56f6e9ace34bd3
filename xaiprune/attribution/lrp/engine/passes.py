"""The backward pass of one composite over a recorded forward: what its nodes ask, and where they report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.linear_call import LinearCall
from xaiprune.attribution.lrp.rules import Rule

Reader = Callable[[int, int, Tensor, Tensor], None]
"""Called with a tap's index, the number of this call of it, the activation, and gradient-form relevance g
(R = g * activation)."""


Account = Callable[[str, str, Tensor, Tensor], None]
"""Called with a module, what passes relevance there (``norm``, ``activation``, ``softmax``), and relevance
above and below it, whose sums are of interest."""

LayerAccount = Callable[[LinearCall, Rule, Tensor, Tensor], None]
"""Called with a layer, its rule, gradient-form relevance of its output and what the rule made of it."""


@dataclass
class Pass:
    """Shared by all nodes of one recording; filled again for every composite.

    The forward does not depend on rules, so nodes ask for theirs when the backward runs.

    Attributes:
        composite: How everything between layers passes relevance.
        rules: The rule of each layer.
        read: Gets what taps report.
        input_relevance: See `add_input_relevance`.
        module: Of the operation that is being recorded.
        account: Where it is set, every node between layers says what it was given and what it passes on.
        account_layer: Likewise every layer.
    """

    composite: Composite = field(default_factory=Composite)
    rules: dict[str, Rule] = field(default_factory=dict)
    read: Reader = lambda *_: None
    input_relevance: Tensor | None = None
    module: str = ""
    account: Account | None = None
    account_layer: LayerAccount | None = None

    def begin(self, composite: Composite, rules: dict[str, Rule], read: Reader) -> None:
        """Set the composite that the next backward follows."""
        self.composite, self.rules, self.read = composite, rules, read
        self.input_relevance = None

    def add_input_relevance(self, relevance: Tensor) -> None:
        """Relevance of the image from a rule that has no gradient form."""
        total = self.input_relevance
        self.input_relevance = relevance if total is None else total + relevance
