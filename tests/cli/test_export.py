"""``xaiprune export``: composites as files that the other tasks take."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from tests.cli.conftest import FINGERPRINT
from tests.search.conftest import few
from xaiprune.attribution.lrp.composite_io import load_composite, save_composite
from xaiprune.cli import export
from xaiprune.cli.__main__ import main
from xaiprune.config import as_override, compose
from xaiprune.errors import XaipruneError
from xaiprune.pruning import Plan, load_pruned, load_pruned_plan
from xaiprune.recipe import PAPER, PRESETS, load_recipe
from xaiprune.study import RUNS, search

TRIALS = (
    ("taylor", 0.9, "a"),
    ("epsilon", 0.94, "b"),
    ("epsilon_cp", 0.94, "b"),  # removes what trial 1 does
    "out of memory",
    ("attnlrp_gamma", 0.5, "c"),
)


def run(*overrides: str) -> None:
    export.run(compose("export", ["study.name=one", *overrides]))


def written() -> list[str]:
    return sorted(path.name for path in Path("studies/one").iterdir())


def test_the_best(make_study, capsys):
    make_study("one", *TRIALS)
    run()
    path = Path("studies/one/best.yaml").absolute()
    assert f"trial    1   94.0 %  {path}\n" in capsys.readouterr().out
    assert written() == ["best.yaml"]
    assert load_composite(path) == PRESETS["epsilon"].composite
    origin = yaml.safe_load(path.read_text())["provenance"]
    assert (origin["study"], origin["trial"], origin["value"]) == ("one", 1, 0.94)
    assert origin["interval"] == [0.9, 0.98]
    assert (origin["model"], origin["objective"]) == (FINGERPRINT["model"], FINGERPRINT["objective"])
    assert origin["data"]["reference"] == FINGERPRINT["data"]["reference"]
    assert origin["data"]["classes"].startswith("10 classes (")
    assert (origin["units"], origin["prune"]) == ({"found": 744}, {"min_units": 1})
    assert load_recipe(path) == replace(
        PAPER, rate=0.5, units="filters", multiple=None
    )  # it is what the study had around it
    assert "torch" in origin["versions"]


def test_a_given_trial(make_study):
    make_study("one", *TRIALS)
    run("export.trial=4")
    assert written() == ["trial-4.yaml"]
    assert load_composite("studies/one/trial-4.yaml") == PRESETS["attnlrp_gamma"].composite


def test_the_best_few_that_differ(make_study, capsys, tmp_path):
    make_study("one", *TRIALS)
    run("export.top=9", f"output_dir={tmp_path}/out")
    shown = capsys.readouterr().out
    assert re.findall(r"^trial +(\d+)", shown, re.MULTILINE) == ["1", "0", "4"]
    assert "only 3 finished trials that remove different units" in shown
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["top-01.yaml", "top-02.yaml", "top-03.yaml"]
    assert [yaml.safe_load(file.read_text())["provenance"]["trial"] for file in files] == [1, 0, 4]


def test_the_printed_command_gives_the_same_ranking(make_study, capsys):
    make_study("one", *TRIALS)
    run("export.trial=0")
    command = shlex.split(capsys.readouterr().out.split("to use it: ")[1])
    assert command[:2] == ["xaiprune", "prune"]
    config = compose("prune", command[2:])
    assert load_recipe(config.recipe) == replace(
        PRESETS["taylor"], **PAPER.prune | {"multiple": None}, rate=0.5, units="filters"
    )
    assert (config.model.name, config.units.kind, config.prune.rate) == ("digits_resnet", "filters", 0.5)


@pytest.mark.parametrize("name", ["große Studie", "it's (a=b) & c#", "really?", "50%"])
def test_the_printed_command_names_the_study(name, make_study, capsys):
    make_study(name, *TRIALS).set_user_attr(RUNS, [{"overrides": ["model=resnet18"], "folder": "elsewhere"}])
    for further, recipe in (("export.top=1", "auto"), ("export.trial=4", f"studies/{name}/trial-4.yaml")):
        assert main(["export", as_override("study.name", name), further]) == 0
        line = capsys.readouterr().out.split("to use it: ")[1]
        shell = f"xaiprune() {{ printf '%s\\0' \"$@\"; }}; {line}"
        told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
        task, *typed = told.split("\0")[:-1]
        config = compose(task, typed)
        assert (task, config.study.name) == ("prune", name)
        assert config.recipe == (recipe if recipe == "auto" else str(Path(recipe).absolute()))


def test_the_pareto_front(config, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    asked = config("objective.cost=params", *few(8), "units=inner_filters")
    study = search(asked)
    export.run(
        compose("export", [f"study.storage={asked.study.storage}", "study.name=test", "export.front=true"])
    )
    shown = capsys.readouterr().out
    front = sorted(study.best_trials, key=lambda trial: trial.values[1])
    files = sorted(Path("studies/test").glob("front-*.yaml"))
    found = [yaml.safe_load(file.read_text())["provenance"] for file in files]
    assert [origin["values"] for origin in found] == [
        pytest.approx(trial.values, abs=5e-5) for trial in front
    ]
    assert f"{100 * front[0].values[0]:.1f} % at {front[0].values[1]:.2f}" in shown


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["export.trial=3"], r"export\.trial=3: .*fail \(out of memory\); choose another"),
        (["export.trial=7"], r"export\.trial=7: study 'one' has 5 trials, counted from 0"),
        (["export.trial=1", "export.top=2"], r"export\.trial and export\.top name different trials"),
        (["export.front=true"], r"study 'one' has one value a trial and so no Pareto front"),
        (["export.format=onnx"], r"export\.format must be one of yaml, zennit"),
        (["export.top=0"], r"export\.top must be at least 1"),
        (["export.weights=true"], r"unknown key 'export\.weights'"),
        (["study.name=on"], r"on\.db does not exist; did you mean 'one'\?"),
    ],
)
def test_what_cannot_be_exported(make_study, overrides, message):
    make_study("one", *TRIALS)
    with pytest.raises(XaipruneError, match=message):
        run(*overrides)
    assert not Path("studies/one").exists()


@pytest.mark.parametrize("top", [1, 3])
def test_nothing_finished(make_study, top):
    make_study("one", "out of memory")
    with pytest.raises(XaipruneError, match="study 'one' has no finished trial yet"):
        run(f"export.top={top}")


def test_a_study_of_a_newer_xaiprune(make_study):
    make_study("one", *TRIALS).set_user_attr("schema", "xaiprune/study/2")
    with pytest.raises(XaipruneError, match="has schema xaiprune/study/2, this xaiprune reads"):
        run()


def test_all_that_a_composite_leads_to(searched, capsys, monkeypatch):
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    command = ["export", "study.name=one", "export.plan=true", "export.pruned=true", "--format", "zennit"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    folder = Path("studies/one")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("best-pruned", "best.plan.json", "best.yaml", "best_zennit.py")
    ]
    origin = yaml.safe_load((folder / "best.yaml").read_text())["provenance"]
    assert origin["command"].startswith("xaiprune search model=digits_resnet model.checkpoint=")
    plan = Plan.load(folder / "best.plan.json")
    assert plan.hash == origin["plan"]
    assert load_pruned_plan(folder / "best-pruned") == plan
    code = (folder / "best_zennit.py").read_text()
    assert f"study: one, trial {origin['trial']}" in code
    compile(code, "best_zennit.py", "exec")
    assert "differ" not in shown

    command = shlex.split(shown.split("to use it: ")[1])  # it may begin with `cd FOLDER &&`
    words = command[command.index("xaiprune") + 1 :]
    assert main([*words, "output_dir=again"]) == 0
    assert load_pruned_plan("again") == plan


def test_a_folder_for_a_hub(searched, capsys, monkeypatch):
    monkeypatch.setattr("xaiprune.session.outcome._SECONDS", 0.01)
    assert main(["export", "study.name=one", "export.hub=mine/small-digits"]) == 0
    folder = Path("mine/small-digits")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "model.safetensors", "plan.json", "recipe.yaml")
    ]
    assert load_recipe(folder / "recipe.yaml") == load_recipe(Path("studies/one/best.yaml"))
    _, metadata, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "license": "unknown",  # of somebody's checkpoint
        "library_name": "xaiprune",
        "pipeline_tag": "image-classification",
        "tags": ["pruned", "xaiprune", "digits_resnet"],
    }
    assert "xaiprune export study.name=one export.hub=mine/small-digits" in text
    config = json.loads((folder / "config.json").read_text())
    assert (config["architecture"], config["num_classes"]) == ("digits_resnet", 10)
    assert config["label_names"] == [str(digit) for digit in range(10)]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    network = load_pruned(folder)
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sum(p.numel() for p in network.parameters()) < 168_000
    plan = load_pruned_plan(folder)
    assert main(["export", "study.name=one", "export.hub=mine/small-digits"]) == 0  # replaced as a whole
    assert load_pruned_plan(folder) == plan


def test_a_folder_for_a_hub_is_of_one_network(make_study):
    make_study("one", *TRIALS)
    with pytest.raises(XaipruneError, match=r"export\.hub=hub is the folder of one network, 2 recipes"):
        run("export.hub=hub", "export.top=2", "model=digits_resnet")


@pytest.mark.parametrize("setting", ["prune.rounds=2", "prune.order=joint"])
def test_what_a_search_found_is_pruned_as_it_was_searched(setting, searched, capsys, monkeypatch):
    monkeypatch.setattr("xaiprune.cli.search.finish", lambda *_: None)
    assert main(["search", *searched, setting, "study.name=two", *few(3)]) == 0
    capsys.readouterr()
    assert main(["export", "study.name=two", "export.plan=true", "export.trial=1"]) == 0
    plan = Plan.load("studies/two/trial-1.plan.json")
    origin = yaml.safe_load(Path("studies/two/trial-1.yaml").read_text())["provenance"]
    assert plan.hash == origin["plan"]
    command = shlex.split(capsys.readouterr().out.split("to use it: ")[1])[1:]
    assert setting not in command  # the file says it
    assert main([*command, "output_dir=pruned"]) == 0
    assert load_pruned_plan("pruned") == plan


def test_another_set_up_is_refused(searched, capsys):
    assert main(["export", "study.name=one", "export.plan=true", "prune.rate=0.3"]) == 2
    error = capsys.readouterr().err
    assert "prune.rate was 0.4, now 0.3. Leave out what was typed" in error
    assert len(error.splitlines()) == 1
    assert not Path("studies/one/best.plan.json").exists()


def test_from_a_file_without_a_study(searched, capsys, tmp_path):
    file = save_composite(tmp_path / "mine.yaml", PRESETS["zplus"].composite)
    assert main(["export", f"composite={file}", "export.format=zennit", *searched]) == 0
    assert "ZPlus(stabilizer=1e-06)" in (tmp_path / "mine_zennit.py").read_text()
    assert main(["export", f"composite={file}", "export.trial=1"]) == 2
    assert f"export.trial chooses among a study's trials, {file} is one" in capsys.readouterr().err


def test_a_flag_without_its_value(capsys):
    assert main(["export", "--format"]) == 2
    assert "--format needs a value" in capsys.readouterr().err
