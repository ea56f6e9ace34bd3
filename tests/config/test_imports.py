"""``imports``: modules of the user's own are loaded before a configuration is checked."""

import subprocess
import sys
from pathlib import Path

import pytest

from xaiprune.config import compose, sweep_of
from xaiprune.errors import XaipruneError

MODULE = """
from xaiprune.data import DataSource, Source
from xaiprune.registry import register_objective, register_source, register_unit_kind


@register_source("squares")
class Squares(DataSource):
    text = "squares"
    needs_root = False

    @staticmethod
    def open(config):
        raise NotImplementedError


@register_unit_kind("rows")
def rows(*_):
    raise NotImplementedError


@register_objective("two")
class Two:
    pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_modules_forgotten: None) -> Path:
    """The current folder, with a module that registers things; nothing of it remains."""
    (tmp_path / "my_squares.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


TYPED = ["model=resnet18", "imports=[my_squares]"]


def test_what_it_registers_can_be_named(project: Path) -> None:
    keys = ["data.source=squares", "units.kind=rows", "objective.name=two"]
    config = compose("search", [*TYPED, *keys])
    assert (config.data.source, config.units.kind, config.objective.name) == (
        "squares",
        "rows",
        "two",
    )
    assert config.imports == ["my_squares"]
    assert compose("search", ["units.kind=heads+rows"]).units.kind == "heads+rows"


def test_groups_have_it_too(project: Path) -> None:
    config = compose("search", [*TYPED, "data=squares", "units=rows", "objective=two"])
    assert (config.data.source, config.units.kind, config.objective.name) == (
        "squares",
        "rows",
        "two",
    )
    with pytest.raises(XaipruneError, match=r"unknown units 'rowz'"):
        compose("search", [*TYPED, "units=rowz"])


def test_without_the_import_it_is_unknown(project: Path) -> None:
    with pytest.raises(XaipruneError, match=r"data\.source must be one of digits, .*, got squares"):
        compose("search", ["model=resnet18", "data.source=squares"])


def test_in_a_sweep(project: Path) -> None:
    sweep = sweep_of("search", [*TYPED, "data=squares", "units=filters,rows"])
    assert [run.units.kind for run in sweep.runs] == ["filters", "rows"]


@pytest.mark.parametrize("place", ["conf", "."])
def test_in_a_file_of_ones_own(project: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "conf" / "experiment").mkdir(parents=True)
    (project / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nimports: [my_squares]\ndata: {source: squares}\nmodel: {name: resnet18}\n"
    )
    if place != ".":
        (project / "my_squares.py").rename(project / place / "my_squares.py")
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    config = compose("search", ["experiment=mine"], config_dir=str(project / "conf"))
    assert config.data.source == "squares"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "not_there",
            None,
            r"imports: no module not_there; put not_there\.py into the current folder",
        ),
        (
            "my_squares.py",
            None,
            r"imports: my_squares\.py must be the name of a module: ",
        ),
        (
            "broken_a",
            "import nothing_like_this",
            r"broken_a cannot be imported: ModuleNotFoundError: ",
        ),
        ("broken_b", "1 +", r"imports: broken_b cannot be imported: SyntaxError: invalid syntax"),
        ("broken_c", "x = y\n", r"imports: broken_c cannot be imported: NameError: name 'y' is not defined"),
        (
            "broken_d",
            "from xaiprune.registry import register_source\nregister_source('digits')(int)\n",
            r"imports: broken_d cannot be imported: XaipruneError: data source 'digits' is taken",
        ),
    ],
)
def test_mistakes_are_one_line(project: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (project / f"{name}.py").write_text(text)
    with pytest.raises(XaipruneError, match=message) as error:
        compose("search", [f"imports=[{name}]"])
    assert "\n" not in str(error.value)


def test_a_list_is_wanted(project: Path) -> None:
    with pytest.raises(XaipruneError, match="imports") as error:
        compose("search", ["imports=my_squares"])
    assert "\n" not in str(error.value)


APPLICATION = """
import sys

import hydra

from xaiprune.config import conf_dir, current_command_line, finish, prepare, register_schema, sweep_of

typed = ["imports=[my_squares]", "model=resnet18", "data=squares", "prune=careful"]
register_schema("search")
if sys.argv[1] == "one":
    flags, rewritten = [], prepare("search", typed, config_dir="conf")
else:
    flags = ["--multirun"]
    typed += ["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    rewritten = sweep_of("search", typed, config_dir="conf").overrides
sys.argv = ["application", *rewritten, *flags]


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="search")
def application(composed):
    config = finish(composed, "search")
    command_line = current_command_line()
    print(config.data.source, config.prune.min_units, command_line.config_dir, flush=True)
    assert "prune=careful" in command_line.overrides


application()
"""


@pytest.mark.parametrize("runs", [1, 2])
def test_under_hydra_and_in_its_launchers_processes(project: Path, runs: int) -> None:
    if runs == 2:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install 'xaiprune[launchers]'")
    (project / "conf" / "prune").mkdir(parents=True)
    (project / "conf" / "prune" / "careful.yaml").write_text("floor: 3\n")
    (project / "application.py").write_text(APPLICATION)
    shown = subprocess.run(
        [sys.executable, "application.py", "one" if runs == 1 else "both"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    lines = [line for line in shown.stdout.splitlines() if line.startswith("squares")]
    assert lines == [f"squares 3 {project / 'conf'}"] * runs
    assert "prune.floor is now called prune.min_units" in shown.stderr
