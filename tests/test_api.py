"""The names that a notebook uses, and that importing them is cheap."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import xaiprune as xp
from tests.search.conftest import FEW_IMAGES
from xaiprune.attribution import Aggregation
from xaiprune.data import as_dataset
from xaiprune.registry import CRITERIA


@pytest.mark.parametrize("name", xp.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(xp, name) is not None


def test_packages_do_not_hide_functions() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    units = xp.find_units(model.eval(), "filters", example=torch.zeros(1, 3, 3, 3))
    relevance = xp.attribute(model, torch.randn(2, 3, 3, 3), torch.tensor([0, 1]), units, xp.Composite())
    scores = xp.aggregate(relevance)
    plan = xp.make_plan(scores, units, 0.5)
    assert sum(map(len, plan.removed.values())) == 2


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, xaiprune; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No xaiprune attribute atribute"):
        _ = xp.atribute


class Plain(nn.Module):
    """A classifier that no name stands for, on 12 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


IMAGES = {"image_size": 12, "crop_pct": 1.0, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture
def own_criterion() -> Iterator[str]:
    """One that a notebook registers; gone again afterwards."""

    @xp.register_criterion("last_first")
    def last_first(model, images, labels, units, task=None, *, seed=0, batch_size=32):  # type: ignore[no-untyped-def]
        return {unit.name: torch.arange(unit.units, 0, -1, dtype=torch.float64) for unit in units}

    yield "last_first"
    CRITERIA.unregister("last_first")


def overrides(tmp_path: Path, session_cache: str) -> list[str]:
    return [
        *(f"data.{key}={value}".replace(" ", "") for key, value in IMAGES.items()),
        f"data.cache_dir={session_cache}",
        f"study.storage=sqlite:///{tmp_path}/study.db",
        "study.n_trials=1",
        "study.presets=[taylor]",
        "device=cpu",
        *FEW_IMAGES,
    ]


def test_a_network_of_ones_own_is_searched_and_compared(
    tmp_path: Path, session_cache: str, own_criterion: str
) -> None:
    network = Plain()
    config = xp.compose("search", [*overrides(tmp_path, session_cache), f"output_dir={tmp_path}/out"])
    config.space = {
        "schema": "xaiprune/space/1",
        "rules": {"epsilon": {"rule": "epsilon", "epsilon": [0.001, 0.1]}, "zplus": {"rule": "zplus"}},
        "parts": {"all": {}},
    }
    study = xp.search(config, network=network)
    assert study.study_name == "Plain-digits-auto-0.5"
    assert study.user_attrs["fingerprint"]["model"]["name"] == "Plain"
    assert not network.training
    assert isinstance(xp.recipe_of(xp.best_trial(study)).composite, xp.Composite)
    comparison = xp.compare(config, network=network, criteria=["taylor", own_criterion])
    assert comparison.network == "Plain"
    assert {"best found", "taylor", own_criterion, "random"} <= set(comparison.frame.method)
    assert (tmp_path / "out" / "comparison.csv").is_file()
    with pytest.raises(xp.XaipruneError, match=r"model\.weights was"):
        xp.search(config, network=Plain())  # another network under the same name


def test_the_callers_configuration_is_left_alone(tmp_path: Path, session_cache: str) -> None:
    config = xp.compose("search", [*overrides(tmp_path, session_cache), "study.name=mine"])
    before = repr(config)
    assert xp.search(config, network=Plain()).study_name == "mine"
    assert repr(config) == before


def test_there_must_be_a_study_to_compare(tmp_path: Path, session_cache: str) -> None:
    config = xp.compose("search", overrides(tmp_path, session_cache))
    with pytest.raises(xp.XaipruneError, match=r"no study there: .*study\.db does not exist; search first"):
        xp.compare(config, network=Plain())
    assert not list(tmp_path.iterdir())


def test_images_come_as_a_network_wants_them(session_cache: str) -> None:
    data = xp.load_data("digits", Plain(), cache_dir=session_cache, reference_per_class=2, **IMAGES)
    assert data.reference.tensor().shape == (20, 3, 12, 12)
    assert len(data.task.classes) == 10
    training = xp.load_training_data("digits", Plain(), cache_dir=session_cache, **IMAGES)
    assert not set(training.train.files) & {*data.validation.files, *data.test.files}


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("digits", {"imagesize": 12}, r"unknown key 'data\.imagesize'; did you mean 'image_size'\?"),
        ("digit", {}, r"data\.source must be one of .*; did you mean 'digits'\?"),
        ("digits", {"reference_per_class": 0}, r"data\.reference_per_class must be at least 1, got 0"),
        ("digits", {"resize": 8, "image_size": 12}, r"data\.resize must be at least data\.image_size \(12\)"),
        ("image_folder", {}, r"data\.root is required with data=image_folder"),
        ("image_folder", {"root": Path("not/there")}, r"data\.root: no such folder: not/there"),
    ],
)
def test_settings_of_images_are_checked(source: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(xp.XaipruneError, match=message):
        xp.load_data(source, Plain(), **settings)


def test_a_criterion_does_not_take_the_place_of_a_known_one(own_criterion: str) -> None:
    first = xp.criterion(own_criterion)
    xp.register_criterion(own_criterion)(lambda *_, **__: {})  # a notebook's cell runs again
    assert xp.criterion(own_criterion) is not first
    with pytest.raises(xp.XaipruneError, match="criterion 'taylor' is taken"):
        xp.register_criterion("taylor")(lambda *_, **__: {})


def test_composites_are_written_by_hand_and_kept(tmp_path: Path) -> None:
    composite = xp.Composite(
        default=xp.make_rule("epsilon", epsilon=1e-3),
        layers=((xp.Match(groups=("low",)), xp.make_rule("gamma", gamma=0.25)),),
    )
    assert xp.load_composite(xp.save_composite(tmp_path / "own.yaml", composite)) == composite


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Forty small images of ten classes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 3, 12, 12, generator=generator), torch.arange(40) % 10


def test_one_call_prunes_any_network(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    network = Plain()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    outcome = xp.prune(
        network, images, 0.5, units="filters", recipe=xp.Composite(xp.Gamma(0.25)), test=images
    )
    assert outcome.plan.n_removed == 4
    assert outcome.model(images[0]).shape == (40, 10)
    assert sum(p.numel() for p in outcome.model.parameters()) < sum(p.numel() for p in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    top1, _ = outcome.after
    assert top1 == xp.accuracy(outcome.model, images)
    assert "top-1 on the test split" in str(outcome)


def test_one_call_is_the_steps_one_by_one(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = Plain().eval()
    units = xp.find_units(network, "filters", example=images[0][:1])
    relevance = xp.attribute(network, *images, units, xp.Composite(xp.Epsilon(1e-6)), start="one")
    plan = xp.make_plan(xp.aggregate(relevance), units, 0.5)
    outcome = xp.prune(network, images, 0.5, recipe="paper")
    assert outcome.plan.removed == plan.removed
    assert outcome.before[0] is None  # there are no test images
    torch.testing.assert_close(outcome.model(images[0]), xp.remove(network, plan, units)(images[0]))


def test_a_loader_is_as_good_as_its_tensors(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = Plain()
    loader = DataLoader(TensorDataset(*images), batch_size=7)
    settings = {"compensate": "linear", "order": "joint", "rounds": 2}
    one, other = (xp.prune(network, data, 0.4, **settings) for data in (images, loader))
    assert one.plan.removed == other.plan.removed
    torch.testing.assert_close(one.model(images[0]), other.model(images[0]))
    assert xp.accuracy(network, images) == xp.accuracy(network, loader)


def test_a_recipe_of_a_search_brings_its_settings(
    tmp_path: Path, images: tuple[torch.Tensor, torch.Tensor]
) -> None:
    network, file = Plain(), tmp_path / "best.yaml"
    found = {
        "attribution": {"aggregate": "signed"},
        "recipe": {"scope": "layer"},
        "prune": {"order": "joint"},
    }
    xp.save_composite(file, xp.Composite(xp.ZPlus()), provenance=found)
    recipe = xp.Recipe(xp.Composite(xp.ZPlus()), "one", Aggregation("signed"), scope="layer")
    of_file = xp.prune(network, images, 0.4, recipe=file, compensate="mean")
    assert of_file.session.prune.order == "joint"
    assert of_file.session.prune.scope == "layer"
    same = xp.prune(network, images, 0.4, recipe=recipe, order="joint", compensate="mean")
    assert of_file.plan.removed == same.plan.removed
    assert xp.prune(network, images, 0.4, recipe=file, order="score").session.prune.order == "score"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compensat": "linear"}, r"unknown key 'prune\.compensat'; did you mean 'compensate'\?"),
        ({"compensate": "cubic"}, r"prune\.compensate must be one of none, mean, linear"),
        ({"units": "filter"}, r"did you mean 'filters'\?"),
        ({"recipe": "epsilo"}, r"no preset 'epsilo'; did you mean 'epsilon'\?"),
        ({"rate": 1.5}, r"prune\.rate must be in \[0, 1\)"),
    ],
)
def test_one_call_refuses_what_it_cannot_use(
    settings: dict[str, Any], message: str, images: tuple[torch.Tensor, torch.Tensor]
) -> None:
    with pytest.raises(xp.XaipruneError, match=message):
        xp.prune(Plain(), images, **settings)


def test_ones_own_optuna_loop(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = Plain().eval()
    data = as_dataset(images, outputs=10, validation=images)
    units = xp.find_units(network, "filters", example=images[0][:1])
    session = xp.PruningSession.of(network, data, units)
    space = xp.search_space(session, "layer_types", rate=0.5)

    def objective(trial: optuna.Trial) -> float:
        recipe = xp.suggest(trial, space)
        plan = session.plan_for(recipe, 0.5)
        return session.accuracy(session.under(recipe).pruned(plan)).top1

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=3)
    assert study.best_trial.params
    assert repr(session) == f"PruningSession(Plain, 8 units, {data!r})"
    assert repr(data) == "Dataset(40 reference, 40 validation and 0 test images; 10 classes)"


def test_functions_have_their_own_signatures() -> None:
    assert list(inspect.signature(xp.prune).parameters)[:3] == ["model", "data", "rate"]
    assert list(inspect.signature(xp.suggest).parameters) == ["trial", "space"]
