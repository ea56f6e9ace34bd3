"""Fixtures that every part of the suite shares."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from xaiprune.config import DataConfig, cache_dir
from xaiprune.data import Dataset, load
from xaiprune.registry import REGISTRIES

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
# What `make test-fast` leaves out: files and folders that search, train, run large networks, or start
# processes, servers or browsers. A single slow test elsewhere is marked `@pytest.mark.slow`.
SLOW = (
    "attribution/test_architectures.py",
    "attribution/test_language_models.py",
    "attribution/test_zennit.py",
    "cli",
    "config/test_compose.py",
    "config/test_imports.py",
    "config/test_sweep.py",
    "evaluation/test_precision.py",
    "models/test_digits_networks.py",
    "models/test_help_llama.py",
    "proof/test_published.py",
    "pruning/test_joint.py",
    "pruning/test_onnx.py",
    "pruning/test_remove.py",
    "pruning/test_shared_networks.py",
    "pruning/test_store.py",
    "pruning/test_task.py",
    "realdata",
    "report/test_dashboard.py",
    "report/test_docs.py",
    "report/test_final.py",
    "report/test_page.py",
    "report/test_page_in_browser.py",
    "report/test_peers.py",
    "search",
    "test_conforming_networks.py",
    "test_wheel.py",
    "trial",
    "units/test_kinds.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow. What has moved is an error, so that it does not become fast unnoticed."""
    if missing := [name for name in SLOW if not (TESTS / name).exists()]:
        raise pytest.UsageError(f"SLOW in {__file__} names what is not there: {', '.join(missing)}")
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what is slow where only the rest is asked for: it saves ten seconds."""
    return (config.option.markexpr.startswith("not slow") and _is_slow(collection_path)) or None


def _is_slow(path: Path) -> bool:
    return any(path.is_relative_to(TESTS / name) for name in SLOW)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and networks; tests that ask for it skip where it is missing."""
    folder = Path(os.environ.get("XAIPRUNE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "imagenette").is_dir():
        pytest.skip(f"the real photographs are not here ({folder}); set XAIPRUNE_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def session_cache() -> str:
    """The developer's own cache: what was decoded or trained once serves the next run of the suite."""
    return str(cache_dir())


@pytest.fixture(scope="session")
def digits_data(session_cache: str) -> Dataset:
    """The digits at 32 pixels, ten reference images a class."""
    from xaiprune.models import preprocess
    from xaiprune.models.small import digits_resnet

    return load(DataConfig(source="digits", cache_dir=session_cache), preprocess(digits_resnet()), 10)


@pytest.fixture
def own_modules_forgotten(tmp_path: Path) -> Iterator[None]:
    """Modules imported from the test's folder, and what they register, are gone afterwards."""
    modules = set(sys.modules)
    names = [set(registry) for registry in REGISTRIES]
    yield
    assert not [entry for entry in sys.path if entry.startswith(str(tmp_path))]
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    for registry, before in zip(REGISTRIES, names, strict=True):
        for name in set(registry) - before:
            if not registry[name].__module__.startswith("xaiprune."):
                registry.unregister(name)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test draws the same numbers, whichever tests ran before it, and leaves the state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def small_cnn() -> torch.nn.Module:
    """A seeded, untrained digits ResNet with lively BatchNorm statistics; eval mode, 32 pixels."""
    from xaiprune.models.small import digits_resnet

    return _enliven(digits_resnet())


@pytest.fixture
def small_vgg() -> torch.nn.Module:
    """A seeded, untrained digits VGG with lively BatchNorm statistics; eval mode, 28 pixels."""
    from xaiprune.models.small import digits_vgg

    return _enliven(digits_vgg())


@pytest.fixture
def small_vit() -> torch.nn.Module:
    """A seeded, untrained digits ViT; eval mode, 32 pixels."""
    from xaiprune.models.small import digits_vit

    return digits_vit().eval()


def _enliven(model: torch.nn.Module) -> torch.nn.Module:
    """Fresh BatchNorms are the identity and some start at zero: give each its own numbers."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()
