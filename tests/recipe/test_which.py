"""Which recipe is used: auto, paper, presets, files; what is set beside them; what does not fit a network."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

import xaiprune as xp
from xaiprune.config import RECIPE_PRUNE, CompletePruneConfig, PruneConfig, compose
from xaiprune.data import as_dataset
from xaiprune.errors import XaipruneError
from xaiprune.models.small import digits_vit
from xaiprune.recipe import PAPER, PRESETS, auto_recipe, configured_recipe, save_recipe
from xaiprune.units import auto_kind

Pair = tuple[Tensor, Tensor]


@pytest.fixture
def images() -> Pair:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 3, 32, 32, generator=generator), torch.arange(20) % 10


def test_configured(small_cnn: nn.Module) -> None:
    example = torch.zeros(1, 3, 32, 32)
    units = xp.find_units(small_cnn, "inner_filters", example=example)
    auto = auto_recipe(small_cnn, units, example)

    def found(*overrides: str) -> xp.Recipe:
        return configured_recipe(compose("prune", list(overrides)), small_cnn, units, example)

    assert found() == replace(auto, rate=0.5)
    assert found("recipe=paper", "prune.rate=0.3") == replace(PAPER, rate=0.3)
    # A preset ranks; how the ranking is used is auto's.
    assert found("recipe=zplus") == replace(PRESETS["zplus"], **auto.prune, rate=0.5)
    assert found("composite.preset=zplus") == replace(auto, composite=PRESETS["zplus"].composite, rate=0.5)
    typed = found("recipe=paper", "attribution.aggregate=signed", "prune.order=joint", "prune.rounds=2")
    assert (typed.aggregation.mode, typed.start, typed.order, typed.rounds) == ("signed", "one", "joint", 2)
    assert found("recipe=paper", "attribution=taylor").attribution == PRESETS["taylor"].attribution
    with pytest.raises(XaipruneError, match=r"recipe: there is no preset 'papr'; did you mean 'paper'\?"):
        found("recipe=papr")


def test_auto_by_what_a_network_is_made_of(small_cnn: nn.Module) -> None:
    example = torch.zeros(1, 3, 32, 32)
    filters = auto_recipe(small_cnn, xp.find_units(small_cnn, "inner_filters", example=example), example)
    assert (filters.relevance_per, filters.budget, filters.order) == ("macs", "macs", "error")
    assert (filters.compensate, filters.sequential, filters.bn) == ("linear", False, "recalibrate")
    residual = timm.create_model("resnet18", num_classes=10).eval()  # its streams' channels are only masked
    with_streams = xp.find_units(residual, "filters", example=example)
    assert auto_recipe(residual, with_streams, example) == replace(filters, order="joint")
    vit = digits_vit().eval()
    neurons = auto_recipe(vit, xp.find_units(vit, "neurons"))
    assert (neurons.relevance_per, neurons.budget, neurons.order) == ("unit", "units", "score")
    assert (neurons.compensate, neurons.sequential, neurons.bn) == ("linear", False, "keep")
    for recipe in (filters, neurons):
        assert set(recipe.prune) == set(RECIPE_PRUNE)


def test_experiments_of_the_paper_are_the_papers() -> None:
    for name in ("resnet18", "resnet50", "vgg16", "vgg16_bn", "vit_b_16"):
        config = compose("search", [f"experiment=pxp_{name}", "data.root=."])
        assert config.recipe == "paper"
        assert config.units.kind == ("linear_outputs" if name == "vit_b_16" else "filters")
        assert compose("search", [f"experiment=pxp_{name}", "data.root=.", "recipe=auto"]).recipe == "auto"


def test_the_paper_is_what_the_defaults_were() -> None:
    assert PAPER.prune == {key: getattr(CompletePruneConfig(), key) for key in RECIPE_PRUNE}
    assert PAPER.attribution == {
        "start": "one",
        "aggregate": "abs_of_sum",
        "image_weight": "as_is",
        "normalize": "none",
    }
    assert PAPER.composite == PRESETS["epsilon"].composite


def test_a_session_knows_all_of_it(small_cnn: nn.Module, images: Pair) -> None:
    data = as_dataset(images, outputs=10)
    units = xp.find_units(small_cnn, "inner_filters", example=images[0][:1])
    session = xp.PruningSession.of(small_cnn, data, units, prune=PruneConfig(rate=0.3, order="joint"))
    auto = auto_recipe(small_cnn, units, images[0][:1])
    assert session.recipe == replace(auto, order="joint", rate=0.3)
    assert session.prune == CompletePruneConfig(**{**auto.prune, "rate": 0.3, "order": "joint"})
    partial = replace(PRESETS["epsilon"], compensate="mean", rate=0.2)
    session = xp.PruningSession.of(small_cnn, data, units, recipe=partial)
    assert (session.prune.compensate, session.prune.rate) == ("mean", 0.2)
    assert session.prune.sequential == auto.sequential


def test_one_call_takes_any_kind_of_recipe(small_cnn: nn.Module, images: Pair, tmp_path: Path) -> None:
    default = xp.prune(small_cnn, images, 0.3)
    assert default.plan.kind == "inner_filters"
    assert default.recipe is not None
    assert default.recipe.units == "inner_filters"
    shown = next(line for line in default.lines() if line.startswith("recipe"))
    assert shown.startswith("recipe    auto: ")
    assert "compensate linear, at once; BatchNorm recalibrated" in shown
    named = xp.prune(small_cnn, images, 0.3, recipe="paper", units="filters")
    assert named.session.only_removes
    whole = replace(PAPER, order="joint", rate=0.2, units="filters")
    file = xp.save_recipe(tmp_path / "mine.yaml", whole)
    plans = [
        xp.prune(small_cnn, images, recipe=recipe).plan
        for recipe in (whole, file, str(file), xp.load_recipe(file))
    ]
    assert len({plan.hash for plan in plans}) == 1
    assert (plans[0].rate, plans[0].kind) == (0.2, "filters")
    other = xp.prune(small_cnn, images, 0.4, recipe=file, order="score", units="inner_filters")
    assert (other.plan.rate, other.plan.kind, other.session.prune.order) == (0.4, "inner_filters", "score")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(PAPER, scale={"layer9.conv1": 2.0}), r"recipe paper: scale\.layer9\.conv1: neither a depth"),
        (
            replace(PAPER, composite=xp.Composite(layers=((xp.Match(names=("blocks.*.fc1",)), xp.ZPlus()),))),
            r"pattern 'blocks\.\*\.fc1' matches no layer of this network",
        ),
        (replace(PAPER, units="neurons"), r"has no neurons; it has filters"),
    ],
)
def test_what_a_network_does_not_have_is_named(
    small_cnn: nn.Module, images: Pair, recipe: xp.Recipe, message: str, tmp_path: Path
) -> None:
    for given in (recipe, save_recipe(tmp_path / "mine.yaml", recipe)):
        expected = message.replace("recipe paper", r"recipe mine\.yaml") if given is not recipe else message
        with pytest.raises(XaipruneError, match=expected) as refused:
            xp.prune(small_cnn, images, 0.3, recipe=given)
        assert "\n" not in str(refused.value)


def test_the_summary_is_one_line_of_all_that_matters() -> None:
    assert replace(PAPER, compensate="linear", order="joint", rounds=3).summary() == (
        "epsilon 1e-06 everywhere; start one; abs_of_sum; global ranking; order joint; "
        "compensate linear, layer by layer; 3 rounds"
    )
    assert PAPER.summary().endswith("order score; compensate none")


@pytest.mark.parametrize(("name", "kind"), [("small_cnn", "inner_filters"), ("small_vit", "neurons")])
def test_units_by_the_network(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    model, example = request.getfixturevalue(name), torch.zeros(1, 3, 32, 32)
    assert auto_kind(model, example) == kind
    assert xp.find_units(model, "auto", example=example) == xp.find_units(model, kind, example=example)
