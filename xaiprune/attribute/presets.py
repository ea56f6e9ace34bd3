"""Ready set-ups: composites of the papers, with the start and aggregation that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xaiprune.attribute.attribution import Start
from xaiprune.attribute.lrp.composite import Composite, Match
from xaiprune.attribute.lrp.rules import AlphaBeta, Epsilon, Gamma, Rule, ZBox, ZPlus
from xaiprune.attribute.relevance import Aggregation


@dataclass(frozen=True)
class Preset:
    """A complete recipe for scores: rules, where relevance starts, how it is summed.

    Attributes:
        composite: Which layer gets which rule.
        start: Relevance at the logits.
        aggregation: From relevance to scores.
        source: Where it comes from.
    """

    composite: Composite
    start: Start
    aggregation: Aggregation
    source: str


def _preset(
    name: str,
    source: str,
    default: Rule,
    layers: tuple[tuple[Match, Rule], ...] = (),
    start: Start = "one",
    aggregation: Aggregation | None = None,
    **treatment: str,
) -> Preset:
    composite = Composite(default, layers, name=name, **treatment)  # type: ignore[arg-type]
    return Preset(composite, start, aggregation or Aggregation(), source)


def _groups(low: Rule, mid: Rule, high: Rule) -> tuple[tuple[Match, Rule], ...]:
    return (
        (Match(groups=("low",)), low),
        (Match(groups=("mid",)), mid),
        (Match(groups=("high",)), high),
    )


_SUM_OF_ABS = Aggregation("sum_of_abs")

PRESETS: dict[str, Preset] = {
    preset.composite.name: preset
    for preset in (
        _preset(
            "taylor",
            "activation times gradient (Molchanov et al. 2017); LRP's limit for epsilon to 0 in ReLU nets",
            Epsilon(0.0),
            start="logit",
            softmax="gradient",
            activation="gradient",
            norm="gradient",
            product="gradient",
        ),
        _preset("epsilon", "LRP-epsilon everywhere, start at 1 (Hatefi et al. 2024)", Epsilon(1e-6)),
        _preset("epsilon_logit", "LRP-epsilon everywhere, start at the logit", Epsilon(1e-6), start="logit"),
        _preset("epsilon_cp", "LRP-epsilon with CP-LRP's constant attention", Epsilon(1e-6), softmax="cp"),
        _preset("zplus", "z+ everywhere", ZPlus()),
        _preset(
            "yeom_zplus",
            "z+ with summed |R| (Yeom et al. 2021)",
            ZPlus(),
            start="logit",
            aggregation=_SUM_OF_ABS,
        ),
        _preset(
            "alpha2beta1_first",
            "alpha-2-beta-1 low, z+ mid, epsilon high (Hatefi et al. 2024)",
            Epsilon(1e-6),
            _groups(AlphaBeta(2.0, 1.0), ZPlus(), Epsilon(1e-6)),
        ),
        _preset(
            "epsilon_gamma_box",
            "gamma convolutions, epsilon linear layers, z-box input (Montavon et al. 2019, as in CRP)",
            Epsilon(1e-6),
            ((Match(types=("conv",)), Gamma(0.25)),),
            start="logit",
        ),
        _preset(
            "attnlrp_gamma",
            "AttnLRP: gamma 0.25 in convolutions, 0.05 in linear layers (Achtibat et al. 2024)",
            Gamma(0.05),
            ((Match(types=("conv",)), Gamma(0.25)),),
        ),
    )
}


def with_box(composite: Composite, first_layer: str, low: float, high: float) -> Composite:
    """The composite with z-box at the layer that reads the image (it only matters for heatmaps)."""
    entry = (Match(names=(first_layer,)), ZBox(low, high))
    return replace(composite, layers=(entry, *composite.layers))
