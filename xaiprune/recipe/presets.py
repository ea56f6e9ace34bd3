"""Ready recipes: composites of the papers, with the initial relevance and aggregation that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xaiprune.attribution import Aggregation, Composite, Match, Start
from xaiprune.attribution.lrp import AlphaBeta, Epsilon, Gamma, Rule, ZPlus
from xaiprune.config import PAPER_RECIPE
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.recipe.recipe import Recipe


def _preset(
    name: str,
    about: str,
    default: Rule,
    layers: tuple[tuple[Match, Rule], ...] = (),
    start: Start = "one",
    aggregation: Aggregation | None = None,
    **treatment: str,
) -> Recipe:
    composite = Composite(default, layers, name=name, **treatment)  # type: ignore[arg-type]
    return Recipe(composite, start, aggregation or Aggregation(), about=about)


def _groups(low: Rule, mid: Rule, high: Rule) -> tuple[tuple[Match, Rule], ...]:
    return (
        (Match(groups=("low",)), low),
        (Match(groups=("mid",)), mid),
        (Match(groups=("high",)), high),
    )


_SUM_OF_ABS = Aggregation("sum_of_abs")

PRESETS: dict[str, Recipe] = {
    preset.name: preset
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
            "epsilon_gamma",
            "gamma convolutions, epsilon linear layers (Montavon et al. 2019, as in CRP, there with "
            "a z-box at the input, which only heatmaps need)",
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

# As Pruning by Explaining Revisited (Hatefi et al. 2024) prunes, and the first versions of this program did.
PAPER = replace(
    PRESETS["epsilon"],
    budget="units",
    scope="global",
    order="score",
    relevance_per="unit",
    compensate="none",
    sequential=True,
    bn="keep",
    rounds=1,
    multiple=1,
    about="Pruning by Explaining Revisited (Hatefi et al. 2024): LRP-epsilon, uncompensated, order=score",
).renamed(PAPER_RECIPE)

# Former name -> name. It promised a z-box that it never had.
RENAMED_PRESETS: Mapping[str, str] = {"epsilon_gamma_box": "epsilon_gamma"}


def preset(name: str, key: str = "preset") -> Recipe:
    """A preset by its name, or by a former one.

    Args:
        name: Of `PRESETS`.
        key: Named in the error: ``composite.preset``.

    Raises:
        XaipruneError: There is no such preset; names the closest.
    """
    name = RENAMED_PRESETS.get(name, name)
    if name not in PRESETS:
        closest = did_you_mean(name, PRESETS) or f"; choose from {', '.join(PRESETS)}"
        raise XaipruneError(f"{key}: there is no preset '{name}'{closest}")
    return PRESETS[name]
