"""Searching and pruning with pictures that have no labels, as people type it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.search.conftest import SHALLOW
from xaiprune.cli.__main__ import main

Typed = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    yield
    logging.getLogger("xaiprune").handlers.clear()
    logging.getLogger("xaiprune").propagate = True


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folders of noise: three without labels, and one with classes."""
    draw = np.random.default_rng(0)
    for name, count in (("reference", 12), ("validation", 60), ("test", 20), ("calibration", 30)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(
                tmp_path / name / f"{number}.png"
            )
    for number in range(20):
        folder = tmp_path / "labelled" / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path


@pytest.fixture
def typed(pictures: Path, weights: dict[str, Path]) -> Typed:
    def make(
        task: str, *overrides: str, roots: tuple[str, ...] = ("reference", "validation", "test")
    ) -> list[str]:
        name = "digits_resnet"
        return [
            task,
            f"model={name}",
            f"model.checkpoint={weights[name]}",
            *(f"model.kwargs.{key}={value}" for key, value in SHALLOW[name].items()),
            "data=image_folder",
            *(f"data.{root}_root={pictures / root}" for root in roots),
            f"data.cache_dir={pictures / 'cache'}",
            "device=cpu",
            "prune.rate=0.3",
            *overrides,
        ]

    return make


def refusal(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    capsys.readouterr()
    assert main(command) == 2
    *_, error = capsys.readouterr().err.strip().splitlines()  # what is not searched is said before
    return error


def test_a_search_by_agreement(typed: Typed, capsys: pytest.CaptureFixture[str], pictures: Path) -> None:
    command = typed("search", "objective=agreement", "study.name=free", "study.n_trials=3")
    assert main([*command, "prune.bn=recalibrate"]) == 0
    shown = capsys.readouterr().out
    assert "12 reference, 60 validation, 20 test; 10 classes" in shown
    assert "relevance   of the network's own predictions (no labels)" in shown
    assert "dense       agreement with the dense network 100.0%" in shown
    assert "20 test images without labels, agreement with the dense network, chance" in shown
    assert "\n                 agreement" in shown or "agreement " in shown.split("chance")[1]
    about = json.loads((pictures / "studies/free/comparison.json").read_text())
    assert about["measure"] == "agreement with the dense network"
    assert main(["report", "study.name=free"]) == 0
    page = (pictures / "studies/free/report.html").read_text()
    assert "agreement with the dense network at 0.3 removed" in page
    assert "relevance is computed on them, of the network&#39;s own predictions" in page
    assert ">top-1<" not in page
    capsys.readouterr()
    assert main(["compare", "study.name=free", "compare.rates=[0.3]", "compare.criteria=[taylor]"]) == 0
    assert "on the test split" not in capsys.readouterr().err
    assert main(["prune", "composite=studies/free/best.yaml", *command[1:-3]]) == 0
    assert "agreement with the dense network on the test split 100.0%" in capsys.readouterr().out


def test_a_race_by_agreement(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    further = ("objective=agreement", "pruner=median", "study.name=race", "study.n_trials=4")
    constraint = "objective.constraints=['top1 >= 0.1']"
    assert main(typed("search", *further, constraint)) == 0
    assert "best        trial" in capsys.readouterr().out


def test_agreement_with_labelled_pictures_and_no_test_images(
    typed: Typed, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    command = typed(
        "search",
        f"data.reference_root={pictures / 'labelled'}",
        f"data.validation_root={pictures / 'validation'}",
        "objective=agreement",
        "study.name=some",
        "study.n_trials=2",
        roots=(),
    )
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "relevance   of the labels" in shown
    assert "there are no test images, so nothing is compared" in shown
    assert not (pictures / "studies/some/comparison.csv").exists()
    # Test images may follow.
    assert (
        main(["compare", "study.name=some", f"data.test_root={pictures / 'test'}", "compare.rates=[0.3]"])
        == 0
    )
    assert "agreement with the dense network" in capsys.readouterr().out


def test_what_needs_labels_is_refused_in_one_line(
    typed: Typed, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    assert "objective=top1_at_rate needs: set objective=agreement" in refusal(capsys, typed("search"))
    for name in ("curve_mean", "max_rate_at_drop", "faithfulness"):
        assert f"objective={name} needs: set" in refusal(capsys, typed("search", f"objective={name}"))
    assert "the reference images have no labels: set attribution.target=predicted" in refusal(
        capsys, typed("prune", "attribution.target=labels")
    )
    assert "the test images have no labels, so there is no top-1" in refusal(capsys, typed("evaluate"))
    assert "there are no validation images; set data.validation_root" in refusal(
        capsys, typed("search", "objective=agreement", roots=("reference",))
    )
    assert "there are no reference images; set data.reference_root" in refusal(
        capsys, typed("prune", roots=("test",))
    )


def test_pruning_needs_reference_images_only(
    typed: Typed, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    assert main(typed("prune", "output_dir=small", roots=("reference",))) == 0
    shown = capsys.readouterr().out
    assert "test split" not in shown
    assert "relevance of the network's own predictions (no labels)" in shown
    assert main(typed("attribute", "output_dir=relevance", roots=("reference",))) == 0
    assert "no heatmaps: there are no test images" in capsys.readouterr().err
    only = typed("evaluate", f"data.test_root={pictures / 'labelled'}", roots=())
    assert main(only) == 0
    assert f"images   test split of {pictures / 'labelled'}" in capsys.readouterr().out


def test_calibration_pictures(typed: Typed, capsys: pytest.CaptureFixture[str], pictures: Path) -> None:
    root = f"prune.calibration_root={pictures / 'calibration'}"
    command = typed(
        "search", "objective=agreement", "prune.compensate=mean", "study.name=c", "study.n_trials=1"
    )
    assert main([*command, root, "prune.calibration_images=20"]) == 0
    error = refusal(capsys, [*command, root, "prune.calibration_images=10"])
    assert "data.calibration was 20 images" in error
    assert "now 10 images" in error
    assert "no effect without prune.calibration_root" in refusal(
        capsys, typed("prune", "prune.calibration_images=5")
    )
    assert "prune.calibration_root: no such folder" in refusal(
        capsys, typed("prune", "prune.calibration_root=nowhere")
    )
