"""A BERT that tells texts apart is pruned by accuracy; padding has no say in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed (pip install xaiprune[language])")

from tests.models import classifier
from xaiprune.attribution import Scores, attribute, criterion
from xaiprune.attribution.text import ATTNLRP
from xaiprune.config import DataConfig, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import accuracy
from xaiprune.forward import logits, part_of
from xaiprune.models import Setup, open_language_model, setup
from xaiprune.registry import CRITERIA
from xaiprune.session import PruningSession
from xaiprune.units import find_units


def opened(folder: Path, model: torch.nn.Module, count: int, **settings: int) -> Setup:
    path = classifier.write_csv(folder / "texts.csv", classifier.texts(count))
    data = DataConfig(source="text_classification", path=str(path), **settings)  # type: ignore[arg-type]
    return setup(
        ModelConfig(name="hf", path=str(classifier.save(folder / "bert", model))), data, device="cpu"
    )


@pytest.mark.slow
def test_auto_keeps_more_than_random(tmp_path: Path) -> None:
    given = opened(tmp_path, classifier.trained(), 600, reference_per_class=40)
    units = find_units(given.model, "neurons", example=given.example())
    auto = PruningSession.of(given.model, given.data, units, unit_kind="neurons")
    dense = accuracy(given.model, given.data.test, given.data.task)
    assert dense.top1 > 0.8
    assert str(dense).endswith(f"of {len(given.data.test)} texts")
    plain, rates = auto.with_prune(compensate="none"), (0.7, 0.8, 0.9, 0.95)
    random = plain.with_prune(order="score")

    def kept(session: PruningSession, scores: Scores) -> float:
        removed = (session.remove(session.plan(scores, rate)).model for rate in rates)
        return sum(session.accuracy(model, given.data.test).top1 for model in removed) / len(rates)

    texts, labels = auto.reference_images, given.data.reference.labels
    drawn = [criterion("random")(given.model, texts, labels, units, seed=seed) for seed in range(3)]
    by_auto = kept(plain, auto.scores(auto.recipe))
    assert by_auto > sum(kept(random, scores) for scores in drawn) / 3 + 0.01
    assert kept(auto, auto.scores(auto.recipe)) > by_auto + 0.01  # with its compensation


@pytest.fixture
def padded(tmp_path: Path) -> Setup:
    """A network with random weights and eight texts of several lengths."""
    return opened(tmp_path, classifier.untrained().double(), 40, reference_per_class=4)


def test_a_padded_batch_is_its_texts_alone(padded: Setup) -> None:
    texts = padded.data.reference.inputs()
    lengths = texts["attention_mask"].sum(1)
    assert len(lengths.unique()) > 1
    with torch.no_grad():
        together = logits(padded.model, texts)
        alone = [
            logits(padded.model, {key: value[n : n + 1, :length] for key, value in texts.items()})
            for n, length in enumerate(lengths.tolist())
        ]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("kind", ["neurons", "heads"])
@pytest.mark.parametrize("name", ["lrp", *sorted(set(CRITERIA) - {"random"})])
def test_more_padding_changes_no_score(name: str, kind: str, padded: Setup) -> None:
    texts, labels = padded.data.reference.inputs(), padded.data.reference.labels
    more = {key: torch.nn.functional.pad(value, (0, 3)) for key, value in texts.items()}
    units = find_units(padded.model, kind, example=part_of(texts, slice(0, 1)))
    found = []
    for inputs in (texts, more):
        if name == "lrp":
            relevance = attribute(padded.model, inputs, labels, units, ATTNLRP)
            found.append(relevance.sums)
        else:
            found.append(criterion(name)(padded.model, inputs, labels, units))
    for unit in units:
        torch.testing.assert_close(found[0][unit.name], found[1][unit.name], rtol=1e-5, atol=1e-8)


def test_classifiers_that_give_no_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(XaipruneError, match="does not give a text one class of several"):
        opened(tmp_path, classifier.untrained(problem_type="multi_label_classification"), 40)
    opened_model = open_language_model(classifier.save(tmp_path / "bert", classifier.untrained()))
    opened_model.tokenizer.pad_token = None
    with pytest.raises(XaipruneError, match="has no padding token"):
        opened_model.padded(["sun"], 8)


def test_long_texts_are_cut_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = open_language_model(classifier.save(tmp_path / "bert", classifier.untrained()))
    with caplog.at_level("INFO", logger="xaiprune"):
        found = model.padded(["sun rain tree road", "sun"], 4)
    assert found["input_ids"].tolist() == [[2, 4, 5, 3], [2, 4, 3, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert "1 of 2 texts are cut to 4 tokens (data.window)" in caplog.text
    assert model.padded(["sun " * 40], 99)["input_ids"].shape == (1, 16)  # what the network can read
