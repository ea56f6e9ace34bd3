"""Recipe files: written and read back, of every version, short, and refused where they are wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xaiprune.attribution import Aggregation, Composite, Match, load_composite, save_composite
from xaiprune.attribution.lrp import Epsilon, Gamma, ZPlus
from xaiprune.config import compose
from xaiprune.errors import XaipruneError
from xaiprune.recipe import PAPER, PRESETS, Recipe, load_recipe, read_recipe, save_recipe

ROOT = Path(__file__).resolve().parents[2]
OLDER = sorted(ROOT.glob("studies/proof/*/best.yaml"))
WHOLE = Recipe(
    Composite(Epsilon(1e-6), ((Match(groups=("low",)), Gamma(0.1)),), softmax="cp", name="trial 3"),
    "contrast",
    Aggregation("signed", "equal", "l2"),
    scale={"low": 0.1 + 0.2, "blocks.0.mlp.fc1": 1e-7},
    references=3,
    scope="layer",
    order="joint",
    relevance_per="macs",
    budget="params",
    compensate="linear",
    sequential=False,
    bn="recalibrate",
    rounds=2,
    multiple=8,
    rate=0.74,
    units="neurons",
)


@pytest.mark.parametrize("recipe", [WHOLE, PAPER, *PRESETS.values()], ids=lambda recipe: recipe.name)
def test_written_and_read_back(recipe: Recipe, tmp_path: Path) -> None:
    file = save_recipe(tmp_path / "mine.yaml", recipe, {"study": "none"})
    assert load_recipe(file) == recipe
    assert load_recipe(file).name == recipe.name
    assert load_composite(file) == recipe.composite
    again = save_recipe(tmp_path / "again.yaml", load_recipe(file), {"study": "none"})
    assert again.read_bytes() == file.read_bytes()


def test_the_recipe_comes_first_and_in_one_order(tmp_path: Path) -> None:
    file = save_recipe(tmp_path / "mine.yaml", WHOLE, {"value": np.float64(0.1), "trial": np.int64(3)})
    text = file.read_text()
    assert list(yaml.safe_load(text)) == [
        *("schema", "composite", "start", "aggregation", "scale", "references", "scope", "order"),
        *(
            "relevance_per",
            "compensate",
            "sequential",
            "bn",
            "rounds",
            "budget",
            "multiple",
            "rate",
            "units",
            "provenance",
        ),
    ]
    assert "  - {match: {group: low}, rule: gamma, gamma: 0.1" in text
    assert "aggregation: {mode: signed, image_weight: equal, normalize: l2}\n" in text
    assert "scale: {low: 0.30000000000000004, blocks.0.mlp.fc1: 1.0e-07}\n" in text
    assert text.endswith("provenance: {value: 0.1, trial: 3}\n")


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    odd = replace(WHOLE, scale={"low": np.float64(0.1)}, rate=np.float64(0.3), references=np.int64(2))  # type: ignore[arg-type]
    file = save_recipe(tmp_path / "mine.yaml", odd)
    assert "scale: {low: 0.1}\nreferences: 2\n" in file.read_text()
    assert "rate: 0.3\n" in file.read_text()


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_an_older_xaiprune_wrote_is_the_recipe_that_it_was(path: Path, tmp_path: Path) -> None:
    stored = yaml.safe_load(path.read_text())["provenance"]
    recipe, prune = load_recipe(path), stored["prune"]
    assert recipe.composite == load_composite(path)
    assert recipe.attribution == stored["attribution"]
    assert dict(recipe.scale) == stored.get("recipe", {}).get("scale", {})
    assert (recipe.scope, recipe.order) == (prune["scope"], prune.get("order", "score"))
    assert recipe.compensate == prune.get("compensate", "none")
    assert recipe.sequential == prune.get("sequential", True)
    assert recipe.relevance_per == "unit"
    assert (recipe.rounds, recipe.rate, recipe.units) == (1, prune["rate"], stored["units"]["kind"])
    assert load_recipe(save_recipe(tmp_path / "now.yaml", recipe)) == recipe


def test_there_are_some_of_them() -> None:
    assert len(OLDER) > 50
    assert {load_recipe(path).order for path in OLDER} == {"joint", "score"}


def test_a_composite_alone_is_no_recipe(tmp_path: Path) -> None:
    file = save_composite(tmp_path / "rules.yaml", Composite(ZPlus()), {"prune": {"order": "joint"}})
    assert read_recipe(file) == Composite(ZPlus())
    with pytest.raises(XaipruneError, match=r"rules\.yaml is a composite alone"):
        load_recipe(file)


def written(tmp_path: Path, **changes: Any) -> Path:
    """A recipe file with other entries; None removes one."""
    data = yaml.safe_load(save_recipe(tmp_path / "mine.yaml", WHOLE).read_text()) | changes
    kept = {key: value for key, value in data.items() if value is not None}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(kept))
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "xaiprune/recipe/2"}, "schema is 'xaiprune/recipe/2', this xaiprune reads"),
        ({"start": "two"}, "start must be one of one, logit, contrast, got two"),
        ({"start": None}, "has no start, so it is no recipe"),
        ({"composite": None}, "has no composite, so it is no recipe"),
        ({"composite": "epsilon"}, "composite must be a section, got epsilon"),
        ({"aggregation": {"mode": "sum"}}, r"aggregation\.mode must be one of abs_of_sum, signed"),
        ({"aggregation": {"normalize": "l2"}}, r"has no aggregation\.mode"),
        ({"aggregation": {"mode": "signed", "weight": "equal"}}, r"aggregation\.weight is unknown"),
        ({"ordre": "joint"}, "ordre is unknown; did you mean 'order'"),
        ({"order": "random"}, "order must be one of score, joint, error, got random"),
        ({"compensate": "cubic"}, "compensate must be one of none, mean, linear, got cubic"),
        ({"sequential": "yes, please"}, "sequential must be true or false, got yes, please"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"rounds": 2.5}, r"rounds must be a whole number, got 2\.5"),
        ({"multiple": 0}, "multiple must be at least 1, got 0"),
        ({"multiple": 8.0}, r"multiple must be a whole number, got 8\.0"),
        ({"rate": 1.5}, r"rate must be in \[0, 1\), got 1\.5"),
        ({"rate": "half"}, r"rate must be in \[0, 1\), got half"),
        ({"scale": {"low": 0}}, "scale must be factors above zero"),
        ({"units": 3}, "units must be the name of a unit kind, got 3"),
        ({"composite": {"default": {"rule": "epsilom"}}}, "unknown rule 'epsilom'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(XaipruneError, match=message) as refused:
        load_recipe(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)
    if "unknown rule" not in message:  # rules are known where torch is
        with pytest.raises(XaipruneError, match=message):
            compose("prune", [f"recipe={file}"])


def test_a_file_that_is_no_recipe_at_all(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    with pytest.raises(XaipruneError, match=r"recipe: no such file: .*mine\.yaml"):
        compose("prune", [f"recipe={file}"])
    with pytest.raises(XaipruneError, match=r"mine\.yaml does not exist"):
        load_recipe(file)
    for text in ("[1, 2]", "a: [", "schema: xaiprune/plan/1"):
        file.write_text(text)
        with pytest.raises(XaipruneError, match=r"mine\.yaml"):
            load_recipe(file)
