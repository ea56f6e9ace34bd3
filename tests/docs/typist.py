"""Types what a page says, as cheaply as it can be done, and complains about what it does not know."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, Block, Command, commands
from xaiprune.cli.__main__ import _dispatch, main, tasks
from xaiprune.config import Config, compose, study_name
from xaiprune.config.options import DIGITS_NETWORKS
from xaiprune.config.overrides import expand_sweep, parse
from xaiprune.config.tasks import TASKS
from xaiprune.errors import XaipruneError
from xaiprune.storage import storage_file
from xaiprune.study import storage_url

# What makes a run cheap and changes nothing about which way it takes through the program. Given with every
# command, so that those of one page see the same images.
CHEAP = ("data.reference_per_class=2", "data.validation_per_class=3", "data.test_per_class=2")
ENDLESS = {"dashboard"}  # serve until they are interrupted
LONG = {"demo"}  # has tests of its own
LOOKING = ("--help", "--hydra-help", "--cfg", "--info", "-c", "--version")
MULTIRUN = {"--multirun", "-m"}
# Commands of other programs that these pages may mention, because they need what a test has not.
ELSEWHERE = {
    "cd", "createdb", "createuser", "psql", "pg_ctl", "pg_dump", "initdb", "docker", "export", "git", "ssh",
    "scp", "rsync", "sbatch", "squeue", "srun", "sudo", "apt-get", "sqlite3", "source", "kill", "tail",
    "firefox", "xdg-open", "open", "echo", "cat", "ls", "tmux", "seq", "set", "sha256sum", "jupyter",
}  # fmt: skip
_VARIABLE = re.compile(r"\$\{\w+\}|\$\w+|\$!|\$\(.*?\)")
_CAPITALS = re.compile(r"(?<![A-Za-z0-9_$])[A-Z][A-Z_]*(?![A-Za-z0-9])")
_EXTRA = re.compile(r"xaiprune\[([\w,\s-]+)\]")


@dataclass
class Typist:
    """Works through one page in a folder of its own.

    Attributes:
        folder: The current folder of all commands.
        placeholders: Word in capitals -> what stands for it; a key's own (``space.around:FILE``) goes first.
        log: What was done with each command: ``ran``, ``composed`` or ``known``.
    """

    folder: Path
    placeholders: dict[str, str]
    log: list[tuple[str, str]] = field(default_factory=list)
    _composed: set[str] = field(default_factory=set)  # studies that an earlier command would have made
    _runs: Counter[str] = field(default_factory=Counter)

    def put(self, block: Block) -> None:
        """A file that the page has its reader write."""
        path = self.folder / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def shell(self, block: Block) -> None:
        """Every command of a shell block."""
        for command in commands(block):
            what = self.type(command)
            self.log.append((str(command), what))

    def type(self, command: Command) -> str:
        """One command: run, composed, or known to be another program's."""
        name, *words = command.words
        own: dict[str, Callable[[Command, list[str]], str]] = {
            "xaiprune": self.xaiprune,
            "make": self.make,
            "pip": self.pip,
            "python": self.python,
            "cp": self.copy,
            "mkdir": self.copy,
            "optuna-dashboard": self.optuna_dashboard,
        }
        if name in own:
            return own[name](command, words)
        if "xaiprune" in words:  # srun --gpus 1 xaiprune search ...
            position = words.index("xaiprune")
            return self.xaiprune(
                Command(command.block, ("xaiprune", "on another machine")), words[position + 1 :]
            )
        if name in ELSEWHERE:
            return "known"
        raise AssertionError(f"{command}: the test does not know what to do with '{name}'")

    def xaiprune(self, command: Command, words: list[str]) -> str:
        """``xaiprune <task> ...``: run if that is cheap, else as far as its configuration."""
        filled = [self.fill(word, command) for word in words if word != "..."]
        elsewhere = bool(command.environment) or "on another machine" in command.words or filled != words
        if not filled or filled[0].startswith("-") or any(word in LOOKING for word in filled):
            return self.run(command, filled)
        task = filled[0]
        assert task in tasks(), f"{command}: there is no task '{task}'"
        if task in LONG:
            return "known"
        try:
            configs = self.configs(filled)
        except (XaipruneError, SystemExit) as error:  # argparse's, for an unknown flag
            raise AssertionError(f"{command}: {error}") from error
        if any(word.startswith(("hydra.", "hydra/")) for word in filled):
            self.check_hydra(command, filled)
        launched = any(word.startswith("hydra/launcher") for word in filled)
        if launched or elsewhere or task in ENDLESS or not all(map(self.is_cheap, configs)):
            self.remember(task, configs)
            return "composed"
        if not all(self.has_its_study(command, task, config) for config in configs):
            return "composed"
        return self.run(command, [*filled, *self.cheaply(task, configs)])

    def configs(self, arguments: list[str]) -> list[Config]:
        """The configuration of each run of a command, by the command line's own way, and nothing of its work.

        Raises:
            XaipruneError: As the command would.
        """
        task, *rest = arguments
        if MULTIRUN & set(rest):
            overrides = [word for word in rest if not word.startswith("-")]
            return [compose(task, single) for single in expand_sweep(parse(overrides))]
        found: list[Config] = []
        module = importlib.import_module(f"xaiprune.cli.{task}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "run", found.append)
            # Studies that an earlier command was only composed for are not there.
            patch.setattr("xaiprune.cli.common.study_setup.settled", lambda config, *_: config)
            _dispatch(arguments)
        return found

    def run(self, command: Command, arguments: list[str]) -> str:
        """In this process; the page is right if the status is zero."""
        status = 0
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse's, after --help or an unknown flag
            status = int(end.code or 0)
        assert status == 0, f"{command}: ended with status {status}"
        return "ran"

    def check_hydra(self, command: Command, arguments: list[str]) -> None:
        """Hydra's own keys are Hydra's to check: have it compose them (a launcher must be installed)."""
        task, *rest = arguments
        launcher = next(
            (word.partition("=")[2] for word in rest if word.startswith("hydra/launcher=")), "basic"
        )
        package = f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher"
        if launcher != "basic" and importlib.util.find_spec(package) is None:
            return  # the launchers extra is not installed here
        overrides = [word for word in rest if not word.startswith("-")]
        self.run(command, [task, *next(iter(expand_sweep(parse(overrides)))), "--cfg", "hydra"])

    def is_cheap(self, config: Config) -> bool:
        """Whether nothing is needed but the digits and what the page has made so far."""
        own = config.model.name in DIGITS_NETWORKS or config.model.pruned is not None
        return config.data.source == "digits" and own and config.device in ("auto", "cpu")

    def remember(self, task: str, configs: list[Config]) -> None:
        """Studies that a command would have made, had it been run."""
        if task == "search":
            self._composed |= {str(config.study.name) for config in configs}

    def has_its_study(self, command: Command, task: str, config: Config) -> bool:
        """Whether the study that a command reads is there; False where it was only composed."""
        reads = TASKS[task].study == "reads"
        if TASKS[task].study == "takes":
            reads = config.recipe == "auto" and config.study.name != study_name(config)
        if not reads or (task == "studies" and config.studies.action == "list"):  # type: ignore[attr-defined]
            return True
        if str(config.study.name) in self._composed:
            return False
        path = storage_file(storage_url(config))
        assert path is None or path.is_file(), f"{command}: no earlier command of the page makes {path}"
        return True

    def cheaply(self, task: str, configs: list[Config]) -> list[str]:
        """Overrides that make a run short; a study that is searched again gets one more trial each time."""
        if not TASKS[task].opens_network:
            return []
        extra = list(CHEAP)
        if task == "search":
            names = {str(config.study.name) for config in configs}
            self._runs.update(names)
            extra += [f"study.n_trials={max(self._runs[name] for name in names)}", "study.presets=[taylor]"]
        if task == "train":
            extra.append("train.epochs=1")
        if task == "compare":
            extra += ["compare.rates=[0,0.5]", "compare.seeds=1", "compare.criteria=[taylor]"]
        return extra

    def fill(self, word: str, command: Command) -> str:
        """A word with its placeholders and shell variables filled in."""
        if word.startswith("-"):
            return word
        key = word.partition("=")[0]

        def replaced(found: re.Match[str]) -> str:
            name = found[0]
            for known in (f"{key}:{name}", name):
                if known in self.placeholders:
                    return self.placeholders[known]
            raise AssertionError(f"{command}: the test has nothing to put in the place of {name}")

        return _CAPITALS.sub(replaced, _VARIABLE.sub("1", word).replace("FILE.yaml", "FILE"))

    def make(self, command: Command, words: list[str]) -> str:
        """The Makefile must have the targets."""
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        for target in [word for word in words if "=" not in word]:
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"{command}: no such target"
        return "known"

    def pip(self, command: Command, words: list[str]) -> str:
        """The extras must be those of pyproject.toml."""
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for found in _EXTRA.finditer(" ".join(words)):
            for extra in re.split(r"\s*,\s*", found[1]):
                assert extra in project["optional-dependencies"], f"{command}: there is no extra '{extra}'"
        return "known"

    def python(self, command: Command, words: list[str]) -> str:
        """``python -m benchmarks.x`` or ``python docs/x.py``: the file must be there."""
        if words[:1] == ["-m"]:
            module = REPOSITORY / words[1].replace(".", "/")
            found = module.with_suffix(".py").is_file() or module.is_dir() or words[1] == "pytest"
        else:
            found = (REPOSITORY / words[0]).is_file()
        assert found, f"{command}: there is no such program"
        return "known"

    def copy(self, command: Command, words: list[str]) -> str:
        """Really done, inside the page's folder."""
        filled = [self.fill(word, command) for word in words]
        paths = [word for word in filled if not word.startswith("-")]
        assert all(self.folder in (self.folder / path).resolve().parents for path in paths), str(command)
        done = subprocess.run([command.words[0], *filled], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return "ran"

    def optuna_dashboard(self, command: Command, words: list[str]) -> str:
        """A storage's URL."""
        assert re.match(r"\w+(\+\w+)?://", words[0]), f"{command}: '{words[0]}' is no storage"
        return "known"


def cheap_python(text: str) -> str:
    """A Python block with few trials on few images."""
    extra = "".join(f', "{override}"' for override in CHEAP)
    return re.sub(r'"study\.n_trials=\d+"', f'"study.n_trials=1", "study.presets=[taylor]"{extra}', text)


@pytest.fixture
def typist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_modules_forgotten: None) -> Typist:
    """In an empty folder, with something real in the place of words in capitals."""
    from xaiprune.attribution import save_composite
    from xaiprune.comparison import run as final
    from xaiprune.config import DataConfig
    from xaiprune.recipe import PRESETS, save_recipe
    from xaiprune.registry import SOURCES

    # The comparison at the end of a search is most of its time.
    monkeypatch.setitem(final.compare_on_test.__kwdefaults__, "rates", (0.0, 0.5))
    monkeypatch.setitem(final.compare_on_test.__kwdefaults__, "seeds", 1)
    inputs = tmp_path / "inputs"
    source = SOURCES["digits"].open(DataConfig(source="digits"))
    for number, picture in enumerate([p for p in source.pictures if p.label < 2][:24]):
        part = ("reference", "validation", "test")[number % 3]
        file = inputs / "photos" / part / source.classes[picture.label] / f"{picture.file}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        source.open(picture).save(file)
    for part, name in (("train", "reference"), ("val", "test")):
        (inputs / "imagenet" / part).parent.mkdir(exist_ok=True)
        (inputs / "imagenet" / part).symlink_to(inputs / "photos" / name)
    (inputs / "weights.safetensors").touch()
    (inputs / "plan.json").touch()
    composite = save_composite(inputs / "composite.yaml", PRESETS["epsilon"].composite)
    recipe = save_recipe(inputs / "recipe.yaml", PRESETS["epsilon"])
    folder = tmp_path / "here"
    save_recipe(folder / "studies" / "mine" / "best.yaml", PRESETS["epsilon"])
    monkeypatch.chdir(folder)
    return Typist(
        folder,
        {
            "FOLDER": str(inputs / "photos"),
            "IMAGENET_FOLDER": str(inputs / "imagenet"),
            "FILE": str(inputs / "weights.safetensors"),
            "WEIGHTS": str(inputs / "weights.safetensors"),
            "composite:FILE": str(composite),
            "recipe:FILE": str(recipe),
            "composite.file:FILE": str(composite),
            "space.around:FILE": str(composite),
            "prune.plan:FILE": str(inputs / "plan.json"),
            "NAME": "mine",
            "OTHER": "other",
            "MODEL": "resnet18",
            "N": "3",
            "URL": "sqlite:///elsewhere.db",
            "HOST": "localhost",
            "USER": "me",
            "PASSWORD": "secret",
            "DATABASE": "studies",
            "SHARED": "shared",
            "DATE": "today",
        },
    )
