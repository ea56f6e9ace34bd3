"""The recipes that we publish: every task takes them, searches found them, and their table is true."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.wide import best
from benchmarks.wide.cases import CASES, Case, session_of
from benchmarks.wide.searches import MACS_LEFT, best_file
from xaiprune.comparison.evaluator import TestEvaluator
from xaiprune.config import compose
from xaiprune.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = [case for case in CASES.values() if (ROOT / best.file_of(case)).is_file()]


def test_there_are_some() -> None:
    files = sorted(path.name for path in (ROOT / best.FOLDER).glob("*.yaml"))
    assert files == sorted(best.file_of(case).name for case in PUBLISHED)
    assert PUBLISHED


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.name)
def test_a_published_recipe_is_taken(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = best.file_of(case)
    recipe, found = load_recipe(path), compose("prune", [f"recipe={path}"])
    assert found.recipe == str(path)
    assert found.units.kind == recipe.units == case.units
    assert found.prune.rate == recipe.rate == pytest.approx(case.rate(MACS_LEFT), abs=1e-4)
    assert (recipe.budget, recipe.compensate, recipe.bn) == ("macs", "linear", case.bn)
    text = path.read_text(encoding="utf-8")
    assert "/home" not in text
    assert "model.checkpoint" not in text  # a command would tell somebody's folders
    found_by_search = best_file(case, best.SEED)
    assert found_by_search is not None
    assert found_by_search.read_text(encoding="utf-8") == text


@pytest.mark.realdata
@pytest.mark.long
@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.name)
def test_it_keeps_what_the_table_says(
    case: Case, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    rows = pd.read_csv("docs/results/wide/curves.csv", comment="#")
    at = (rows.case == case.name) & (rows.seed == best.SEED) & (rows.left == MACS_LEFT)
    (said,) = rows[at & (rows.method == "searched")].top1
    session, recipe = session_of(case, best.SEED), load_recipe(best.file_of(case))
    own = session.under(recipe)
    evaluator = TestEvaluator(own, tmp_path, "bfloat16")
    assert evaluator.figures_of(session.plan_for(recipe))["top1"] == pytest.approx(said, abs=0.01)
