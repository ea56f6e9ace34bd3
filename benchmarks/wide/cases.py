"""What is pruned, and which photographs each seed draws."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks.shared import SHARED
from xaiprune.config import Config, compose
from xaiprune.session import PruningSession
from xaiprune.study import open_search

# From the repository's root, where the benchmark runs: studies note their paths, and these are published.
STUDIES = Path("studies", "wide")
RESULTS = Path("docs", "results", "wide")
PACKAGE = "benchmarks.wide"
SEEDS = (0, 1, 2)
REFERENCES = 300
BUILD = Path("build", "wide")  # what is quickly made again; git ignores it
# References are drawn from these. The rest of them are validation images, as are all of `validation`; many of
# their classes have no reference, as with the test images.
_POOL, _VALIDATION = ("reference", "calibration"), "validation"


@dataclass(frozen=True)
class Case:
    """A network and what is removed from it.

    Attributes:
        name: Of its studies and rows.
        title: For people.
        weights: File name under the shared weights.
        units: What a unit is.
        removable: What the units cost together, as a part of the network's MACs; above 1 where many weights
            lie between two of them.
        bn: As ``prune.bn``, for every method.
    """

    name: str
    title: str
    weights: str
    units: str
    removable: float
    bn: str = "keep"

    def rate(self, macs_left: float) -> float:
        """The rate, of the units' MACs, that leaves a part of the network's MACs."""
        return (1 - macs_left) / self.removable


CASES = {
    case.name: case
    for case in (
        Case("vit_tiny-neurons", "ViT-tiny, neurons", "vit_tiny_patch16_224", "neurons", 0.5561),
        Case("resnet18", "ResNet-18, inner filters", "resnet18", "inner_filters", 0.9240, "recalibrate"),
        Case("lite0", "EfficientNet-Lite0", "tf_efficientnet_lite0", "inner_filters", 1.1657, "recalibrate"),
        Case(
            "vit_tiny-heads",
            "ViT-tiny, neurons and heads",
            "vit_tiny_patch16_224",
            "neurons+heads",
            0.8341,
        ),
    )
}


def config_of(case: Case, seed: int = 0, more: Sequence[str] = (), references: int = REFERENCES) -> Config:
    """Settings of a case's search.

    Args:
        case: The network.
        seed: Of the search, and of which photographs are references.
        more: Further overrides.
        references: How many photographs are drawn.
    """
    folder = draw(seed, references)
    shared = os.path.relpath(SHARED)
    return compose(
        "search",
        [
            f"model={case.weights}",
            f"model.checkpoint={shared}/weights/{case.weights}.safetensors",
            f"units={case.units}",
            "data=image_folder",
            f"data.reference_root={folder}/reference",
            f"data.validation_root={folder}/validation",
            f"data.test_root={shared}/wide/test",
            "data.resize=256",
            "data.image_size=224",
            "data.task=all",
            f"seed={seed}",
            "prune.budget=macs",
            *more,
        ],
    )


@lru_cache(maxsize=1)  # each holds a network and its photographs
def session_of(
    case: Case, seed: int, more: tuple[str, ...] = (), references: int = REFERENCES
) -> PruningSession:
    """Network, images and units of a case, opened."""
    return open_search(config_of(case, seed, more, references)).session


def draw(seed: int, count: int = REFERENCES) -> Path:
    """Folders ``reference`` and ``validation`` of links to the photographs of a seed.

    Args:
        seed: Shuffles the pool once, so that a smaller draw is part of a larger one.
        count: References.
    """
    folder = BUILD / f"{count}-references-seed-{seed}"
    if folder.is_dir():
        return folder
    wide = SHARED / "wide"
    pool = sorted(picture for part in _POOL for picture in (wide / part).glob("*/*"))
    Random(seed).shuffle(pool)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    for part, pictures in {
        "reference": pool[:count],
        "validation": [*pool[REFERENCES:], *(wide / _VALIDATION).glob("*/*")],
    }.items():
        for picture in pictures:
            link = unfinished / part / picture.parent.name / f"{picture.parent.parent.name}-{picture.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(picture.resolve())
    unfinished.rename(folder)
    return folder
