"""What the proof is about: the shared networks, what is removed from them, and how it is searched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.shared import SHARED
from xaiprune.config import Config, compose
from xaiprune.session import PruningSession
from xaiprune.study import open_search

# From the repository's root, where the proof runs: studies note their paths, and these are published.
STUDIES = Path("studies", "proof")
RESULTS = Path("docs", "results")

_VIT = ("model=vit_tiny_patch16_224", "data.resize=224")
_RESNET = ("model=resnet18", "data.resize=224")
_VGG = (
    "model=vgg11_bn",
    "model.kwargs.num_classes=10",
    "model.kwargs.mlp_ratio=0.125",
    "data.image_size=64",
    "data.resize=72",
    "data.interpolation=bicubic",
    "data.mean=[0.485,0.456,0.406]",
    "data.std=[0.229,0.224,0.225]",
)


@dataclass(frozen=True)
class Case:
    """A network, the units that leave it, and a rate.

    Attributes:
        name: Of its studies and rows.
        title: For people.
        weights: File name under the shared weights.
        overrides: Network, images' size, units, task.
        rate: That studies are scored at.
        seeds: One study each: of the search and of the reference images' draw.
        trials: Of space ``depth_groups``.
        rates: Of the curves.
        half_rate: Where the strongest preset has lost half without compensation; None: it was not measured.
        compensated_rate: That the study with linear compensation is scored at; None: there is none.
        compensation: Settings of linear compensation that suit this network (by validation images).
    """

    name: str
    title: str
    weights: str
    overrides: tuple[str, ...]
    rate: float
    seeds: tuple[int, ...] = (0,)
    trials: int = 150
    rates: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    half_rate: float | None = None
    compensated_rate: float | None = None
    compensation: tuple[str, ...] = ()


CASES = {
    case.name: case
    for case in (
        Case(
            "vit_tiny-neurons",
            "ViT-tiny, 9,216 neurons, 1000-way",
            "vit_tiny_patch16_224",
            (*_VIT, "units=neurons", "data.task=all"),
            rate=0.5,
            seeds=(0, 1, 2),
            half_rate=0.43,
            compensated_rate=0.74,
            compensation=("prune.sequential=false",),
        ),
        Case(
            "resnet18-inner_filters",
            "ResNet-18, 1,920 inner filters, 1000-way",
            "resnet18",
            (*_RESNET, "units=inner_filters", "data.task=all"),
            rate=0.4,
            seeds=(0, 1, 2),
            half_rate=0.46,
            compensated_rate=0.82,
        ),
        Case(
            "resnet18-filters",
            "ResNet-18, 4,800 filters, 10 of 1000",
            "resnet18",
            (*_RESNET, "units=filters"),
            rate=0.4,
            trials=100,
        ),
        Case(
            "vit_tiny-heads",
            "ViT-tiny, 36 heads, 10 of 1000",
            "vit_tiny_patch16_224",
            (*_VIT, "units=heads"),
            rate=0.5,
            trials=80,  # of 36 heads there are not many rankings
        ),
        Case(
            "vgg11_bn-filters",
            "VGG-11-BN (64 px), 7,360 filters, own ten classes",
            "vgg11_bn_64",
            (*_VGG, "units=filters"),
            rate=0.7,
            rates=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
    )
}


def config_of(case: Case, seed: int = 0, more: tuple[str, ...] = ()) -> Config:
    """Settings of a case's search.

    Args:
        case: The network.
        seed: Of the search, and of which photographs are references.
        more: Further overrides.
    """
    shared = os.path.relpath(SHARED)
    return compose(
        "search",
        [
            f"model.checkpoint={shared}/weights/{case.weights}.safetensors",
            "data=image_folder",
            f"data.root={shared}/imagenette",
            "recipe=paper",  # and what differs from it is typed
            *case.overrides,
            f"prune.rate={case.rate}",
            f"seed={seed}",
            f"data.seed={seed}",
            *more,
        ],
    )


def session_of(case: Case, seed: int = 0, more: tuple[str, ...] = ()) -> PruningSession:
    """Network, images and units of a case, opened."""
    return _opened(case, seed, more)


@lru_cache(maxsize=2)  # behind one way to call it: each way would be a network of its own
def _opened(case: Case, seed: int, more: tuple[str, ...]) -> PruningSession:
    return open_search(config_of(case, seed, more)).session
