"""The choices that are one for the whole network, each declared once.

Reading a space, reducing it to a network, sampling it, finding a recipe's parameters and searching around it
all go through `DIMENSIONS`: a new dimension is a field of `Recipe` and an entry here. Optuna is asked in
their order, which samplers with a seed depend on: new ones belong before ``softmax``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_args

from optuna.trial import BaseTrial

from xaiprune.attribution import Aggregation, Composite, Start
from xaiprune.attribution.lrp import Softmax
from xaiprune.attribution.relevance import AggregateMode, ImageWeight, Normalize
from xaiprune.config import AttributionConfig
from xaiprune.pruning import BN, COMPENSATIONS, ORDERS, PER, SCOPES
from xaiprune.recipe import Recipe
from xaiprune.space.values import Reader, one_of, true_or_false, whole_number

GRADIENT = {"softmax": "gradient", "activation": "gradient", "norm": "gradient", "product": "gradient"}
Chosen = Mapping[str, Any]
"""Dimension -> value, with the configured values of what a recipe leaves open."""


@dataclass(frozen=True)
class Choice:
    """What there is of a dimension in one space.

    Attributes:
        choices: What there is to choose from; a single one is not searched. None at all: the space says
            nothing about it, and neither do its recipes.
        matters: False where the choice changes nothing on this network.
    """

    choices: tuple[Any, ...] = ()
    matters: bool = True

    @property
    def searched(self) -> bool:
        """Whether trials may be asked for it."""
        return self.matters and len(self.choices) > 1

    @property
    def first(self) -> Any:
        """The value when Optuna is not asked; None if the space does not have the dimension."""
        return self.choices[0] if self.choices else None


@dataclass(frozen=True)
class Effects:
    """What decides on a network, and in a space, whether a choice can change anything.

    Attributes:
        prunes: Trials prune; if not, heatmaps count.
        several: Units lie in several layers.
        competes: Scores of one layer are held against another's.
        priced: Units of one layer cost more than another's.
        between: Relevance depends on how everything but linear layers is treated.
        softmax: Relevance depends on how softmax is treated.
        consumers: Some units have consumers of their own, which can be compensated.
        compensates: They are, in some trials at least.
        normalises: Trials prune a network that has BatchNorm.
    """

    prunes: bool
    several: bool
    competes: bool
    priced: bool
    between: bool
    softmax: bool
    consumers: bool
    compensates: bool
    normalises: bool


@dataclass(frozen=True)
class Dimension:
    """A choice that is one for the whole network.

    Attributes:
        name: Of the key in a space's YAML, of Optuna's parameter, and of the key by which files keep it.
        read: From YAML to the choices.
        of: The value that a recipe has; None: what is configured.
        field: Of `Recipe` that it fills; empty: it is a part of the composite.
        matters: Whether it can change anything.
        asked: Whether it can, after what has been chosen before it.
        default: The value where a space does not list it; None: the space says nothing about it.
        optional: Whether a recipe may leave it open.
    """

    name: str
    read: Reader
    of: Callable[[Recipe], Any]
    field: str = ""
    matters: Callable[[Effects], bool] = attrgetter("prunes")
    asked: Callable[[Chosen], bool] = lambda _: True
    default: Callable[[AttributionConfig], Any] = lambda _: None
    optional: bool = True

    def suggest(self, trial: BaseTrial, choice: Choice, chosen: Chosen) -> Any:
        """The trial's value; optional ones are left open where they change nothing."""
        asked = choice.matters and self.asked(chosen)
        if asked and choice.searched:
            return trial.suggest_categorical(self.name, choice.choices)
        return choice.first if asked or not self.optional else None


def competes(chosen: Chosen) -> bool:
    """Whether the scores of one layer are held against another's, so that their sizes matter."""
    return chosen["coupled"] or chosen["scope"] != "layer"


def _between(recipe: Recipe) -> str:
    composite = recipe.composite
    return "gradient" if all(getattr(composite, k) == v for k, v in GRADIENT.items()) else "lrp"


def _of_composite(
    name: str, read: Reader, of: Callable[[Recipe], Any], default: str, **more: Any
) -> Dimension:
    """A treatment of what lies between linear layers."""
    return Dimension(
        name, read, of, matters=attrgetter(name), default=lambda _: default, optional=False, **more
    )


def _of_attribution(name: str, field: str, values: Any, **more: Any) -> Dimension:
    """What ``attribution.*`` sets where a space does not list it."""
    return Dimension(
        name,
        one_of(*get_args(values)),
        attrgetter(field),
        field,
        default=attrgetter(name),
        optional=False,
        **more,
    )


def _of_prune(name: str, read: Reader, **more: Any) -> Dimension:
    """What ``prune.*`` sets where a space does not list it."""
    return Dimension(name, read, attrgetter(name), name, **more)


DIMENSIONS: tuple[Dimension, ...] = (
    _of_composite("between", one_of("lrp", "gradient"), _between, "lrp"),
    _of_attribution("start", "start", Start, matters=lambda _: True),
    _of_attribution("aggregate", "aggregation.mode", AggregateMode),
    _of_attribution("image_weight", "aggregation.image_weight", ImageWeight),
    _of_prune("scope", one_of(*SCOPES), matters=lambda effects: effects.prunes and effects.several),
    # Without effect if each layer is ranked for itself.
    _of_attribution(
        "normalize", "aggregation.normalize", Normalize, matters=attrgetter("competes"), asked=competes
    ),
    Dimension(
        "references",
        whole_number("of images a class"),
        attrgetter("references"),
        "references",
        default=attrgetter("references"),
    ),
    _of_prune(
        "relevance_per",
        one_of(*PER),
        matters=lambda effects: effects.competes and effects.priced,
        asked=competes,
    ),
    _of_prune("compensate", one_of(*COMPENSATIONS), matters=attrgetter("consumers")),
    _of_prune("order", one_of(*ORDERS), matters=attrgetter("consumers")),
    _of_prune(
        "sequential",
        true_or_false,
        matters=attrgetter("compensates"),
        asked=lambda chosen: chosen["compensate"] != "none",
    ),
    _of_prune("bn", one_of(*BN), matters=attrgetter("normalises")),
    _of_prune("rounds", whole_number("of rounds")),
    _of_composite(
        "softmax",
        one_of(*(value for value in get_args(Softmax) if value != "gradient")),  # that is between=gradient
        attrgetter("composite.softmax"),
        "attnlrp",
        asked=lambda chosen: chosen["between"] == "lrp",
    ),
)


def treatment(chosen: Chosen) -> Mapping[str, Any]:
    """How a composite treats what lies between linear layers."""
    return GRADIENT if chosen["between"] == "gradient" else {"softmax": chosen["softmax"]}


def recipe_with(composite: Composite, chosen: Chosen, **more: Any) -> Recipe:
    """The recipe of what was chosen in each dimension.

    Args:
        composite: With its treatment.
        chosen: A value for each dimension; None leaves an optional one open.
        more: Further fields of the recipe.
    """
    fields: dict[str, Any] = {}
    aggregation: dict[str, Any] = {}
    for dimension in DIMENSIONS:
        section, _, key = dimension.field.rpartition(".")
        if key:
            (aggregation if section else fields)[key] = chosen[dimension.name]
    return Recipe(composite, aggregation=Aggregation(**aggregation), **fields, **more)
