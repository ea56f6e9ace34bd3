"""Searches small enough for tests: untrained digits networks, a few images of each class."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.search.postgres import Postgres, Unavailable
from xaiprune.config import Config, compose
from xaiprune.models import small
from xaiprune.recipe import AUTO, PRESETS
from xaiprune.study import open_search
from xaiprune.trial import SearchSetup

FEW_IMAGES = ("data.reference_per_class=1", "data.validation_per_class=4", "data.test_per_class=2")
SHALLOW = {"digits_resnet": {"layers": [1, 1, 1, 1]}, "digits_vit": {"depth": 4}}
# Set, so that they are not searched: most tests are about other things, and compensation takes time.
PLAIN = ("prune.relevance_per=unit", "prune.order=score", "prune.compensate=none", "prune.bn=keep")
MakeConfig = Callable[..., Config]


def few(trials: int) -> tuple[str, ...]:
    """So many trials in all on the digits ResNet: its presets, then what the sampler proposes."""
    # There auto is taylor, and epsilon_cp is epsilon where there is no attention.
    names = [AUTO, *(name for name in PRESETS if name not in ("taylor", "epsilon_cp"))]
    sampled = max(0, trials - len(names))
    chosen = "null" if sampled else f"[{','.join(names[:trials])}]"
    return f"study.n_trials={sampled}", f"study.presets={chosen}"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random, seeded weights of the digits networks: nothing is trained for these tests."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name, shape in SHALLOW.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = getattr(small, name)(**shape)
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.weight.data.uniform_(0.5, 1.5)
                    module.bias.data.normal_(0, 0.2)
        files[name] = folder / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, files[name])
    return files


@pytest.fixture
def config(tmp_path: Path, weights: dict[str, Path], session_cache: str) -> MakeConfig:
    """``config("prune.rate=0.3", model="digits_vit")``: a search into the test's own folder.

    Of filters, by score and without compensation, unless the test says something else.
    """

    def make(*overrides: str, model: str = "digits_resnet") -> Config:
        keys = {override.partition("=")[0].lstrip("+") for override in overrides}
        return compose(
            "search",
            [
                f"model={model}",
                *(() if keys & {"recipe", "composite", "composite.file"} else ["recipe=paper"]),
                *(() if keys & {"units", "units.kind"} else ["units=filters"]),
                f"model.checkpoint={weights[model]}",
                *(f"model.kwargs.{key}={value}" for key, value in SHALLOW[model].items()),
                f"data.cache_dir={session_cache}",
                "study.name=test",
                f"study.storage=sqlite:///{tmp_path}/studies/test.db",
                f"output_dir={tmp_path}/studies/test",
                "device=cpu",
                *FEW_IMAGES,
                *PLAIN,
                *overrides,
            ],
        )

    return make


@pytest.fixture
def cnn(config: MakeConfig) -> SearchSetup:
    """The setup of a search over the filters of the digits ResNet."""
    return open_search(config())


@pytest.fixture
def vit(config: MakeConfig) -> SearchSetup:
    """The setup of a search over the neurons and heads of the digits ViT."""
    return open_search(config("units=neurons+heads", model="digits_vit"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server; tests that ask for it skip where there can be none."""
    pytest.importorskip("psycopg", reason="pip install 'xaiprune[postgres]'")
    # Not below pytest's own folders: as root, another user has to get there. (Sockets want short paths, too.)
    with tempfile.TemporaryDirectory(prefix="xaiprune-pg-") as folder:
        os.chmod(folder, 0o711)
        cluster = Path(folder) / "pg"
        cluster.mkdir()
        try:
            server = Postgres(cluster)
        except Unavailable as reason:
            pytest.skip(str(reason))
        try:
            server.start()
            yield server
        finally:
            server.stop()


_databases = itertools.count()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """An empty database of its own."""
    return postgres.new_database(f"test_{next(_databases)}")


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage, of each kind in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    suffix = {"sqlite": "db", "journal": "log"}[request.param]
    return f"{request.param}:///{tmp_path}/storage/test.{suffix}"
