"""What people type, and the one line they get back."""

import subprocess
import sys
from pathlib import Path

import pytest

from xaiprune.config import TASKS, command, compose, conf_dir, prepare, sweep_of, without_config_dir
from xaiprune.errors import XaipruneError
from xaiprune.registry import UNIT_KINDS
from xaiprune.storage import shown, storage_file

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_composes_without_overrides(task):
    config = compose(task)
    assert type(config) is TASKS[task].schema
    assert config.model.name == "digits_resnet"
    assert config.study.storage == f"sqlite:///studies/{config.study.name}.db"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(experiment, tmp_path):
    root = [] if experiment.startswith("digits") else [f"data.root={tmp_path}"]
    config = compose("search", [f"experiment={experiment}", *root])
    assert config.study.name == experiment


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_starts_with_its_command(experiment):
    lines = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# xaiprune search experiment={experiment}")


def test_the_papers_and_the_digits_are_there():
    papers = {"pxp_vgg16", "pxp_vgg16_bn", "pxp_resnet18", "pxp_resnet50", "pxp_vit_b_16"}
    assert papers | {"digits_vgg", "digits_resnet", "digits_vit"} <= set(EXPERIMENTS)


@pytest.mark.parametrize(
    "group", [p.name for p in conf_dir().iterdir() if p.is_dir() and p.name != "experiment"]
)
def test_every_option_of_every_group_composes(group, tmp_path):
    for path in (conf_dir() / group).glob("*.yaml"):
        typed = [f"{group}={path.stem}", "model.name=digits_vit", f"data.root={tmp_path}"]
        compose("studies", typed)


def test_any_timm_model_is_an_option_of_the_model_group():
    config = compose("search", ["model=resnet18", "model.kwargs.num_classes=7"])
    assert config.model.name == "resnet18"
    assert config.model.kwargs == {"num_classes": 7}
    assert compose("search", ["model=resnet18.a1_in1k"]).model.name == "resnet18.a1_in1k"


@pytest.mark.parametrize("spelling", ["neurons+heads", "neurons_heads"])
def test_both_spellings_of_neurons_and_heads(spelling):
    assert compose("search", [f"units={spelling}"]).units.kind == "neurons+heads"


def test_open_sections_take_new_keys_without_a_plus():
    assert compose("search", ["sampler.seed=3"]).sampler["seed"] == 3
    assert compose("search", ["+sampler.seed=3"]).sampler["seed"] == 3


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("rate=0.5", "unknown key 'rate'; did you mean 'prune.rate'?"),
        ("order=joint", "unknown key 'order'; did you mean 'prune.order'?"),
        ("criterion=taylor", "recipe=NAME says how units are ranked (recipe=taylor)"),
        ("prune.criterion=taylor", "compare.criteria=[NAME] compares baseline criteria"),
        ("trials=5", "unknown key 'trials'; did you mean 'study.n_trials'?"),
        ("compensate=linear", "unknown key 'compensate'; did you mean 'prune.compensate'?"),
        ("checkpoint=a.pt", "unknown key 'checkpoint'; did you mean 'model.checkpoint'?"),
        ("model.rate=0.5", "unknown key 'model.rate'; did you mean 'prune.rate'?"),
        ("data.root=.", "model=digits_resnet is trained on digits, but data.source is image_folder"),
        ("composite.preset=eps", "composite.preset=eps has no effect on a search; study.presets=[NAME]"),
        ("composite=epsilon", "composite.preset=epsilon has no effect on a search; study.presets=[NAME]"),
        ("study.name=a/b", "study.name='a/b' cannot name a file and a folder in studies/"),
        ("study.name=", "study.name='' cannot name a file"),
        (f"study.name={'x' * 300}", "at most 200 bytes"),
        ("prune.rat=0.3", "unknown key 'prune.rat'; did you mean 'prune.rate'?"),
        ("modle=resnet18", "unknown key 'modle'; did you mean 'model'?"),
        ("+nothing.like.this=1", "unknown key 'nothing.like.this'; --cfg job lists the valid ones"),
        ("prune.rate=1.3", "prune.rate must be in [0, 1), got 1.3"),
        ("prune.rate=abc", "prune.rate must be a number, got abc"),
        ("study.n_trials=2.5", "study.n_trials must be a whole number, got 2.5"),
        ("study.n_trials=-1", "study.n_trials must be at least 0, got -1"),
        ("model.pretrained=maybe", "model.pretrained must be true or false, got maybe"),
        ("model=resnet81", "unknown model 'resnet81'; did you mean 'resnet18'?"),
        ("study=mine", "unknown study 'mine'; a study is named study.name=mine"),
        ("model=resnet18.a1_in2k", "timm has no weights 'a1_in2k' of model 'resnet18'"),
        ("model=timm", "model.name is required"),
        ("units=filter", "unknown units 'filter'; did you mean 'filters'?"),
        ("data=image_folder", "data.root is required with data=image_folder"),
        (
            "prune.budget=param",
            "prune.budget must be one of units, params, macs, got param; did you mean 'params'?",
        ),
        ("data.mean=[1,2]", "data.mean must be 3 numbers"),
        ("objective.rates=[0.1,1.0]", "objective.rates must be a list of numbers, each in [0, 1)"),
        ("device=gpu", "device must be auto, cpu, cuda, cuda:N or mps, got gpu"),
        ("model.checkpoint=/nowhere.pt", "model.checkpoint: no such file: /nowhere.pt"),
        ("composite.file=/nowhere.yaml", "composite.file: no such file: /nowhere.yaml"),
        ("model.pruned=/nowhere", "model.pruned: no such folder: /nowhere"),
        ("prune.rate=0.1,0.2", "add --multirun"),
        ("nonsense", "cannot read the override 'nonsense': expected key=value"),
        (
            "model.checkpoint=epoch=9.ckpt",
            "cannot read the override 'model.checkpoint=epoch=9.ckpt': "
            "quote the value: 'model.checkpoint='\"'\"'epoch=9.ckpt'\"'\"",
        ),
        ("experiment=pxp_resnet8", "unknown experiment 'pxp_resnet8'; did you mean 'pxp_resnet18'?"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(typed, message):
    with pytest.raises(XaipruneError) as error:
        compose("search", [typed])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


AWKWARD = (
    *("große Studie", "it's", "a=b", "a#b", "a(b)&c", "really?", "50%", "null", "1", "a,b", "[a]", '"a"'),
    *(
        "${x}",
        "a\\${x}",
        "${",
        "$HOME",
        "`ls`",
        "-rf",
        "--help",
        "a\\",
        "a\\'b",
        "{a: b}",
        "~",
        " a ",
        "*",
        "a;b|c",
        "日本",
    ),
)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_printed_command_says_what_was_meant(name):
    task, *overrides = typed_in_a_shell(command("export", {"study.name": name, "export.trial": 3}))
    found = compose(task, overrides)
    assert (found.study.name, found.export.trial) == (name, 3)
    file = Path(f"studies/{name}.db").absolute()
    assert storage_file(found.study.storage) == file
    for url in (
        shown(found.study.storage),
        shown(f"journal:///{file}".replace("%", "%25").replace("?", "%3F")),
    ):
        task, *overrides = typed_in_a_shell(command("report", {"study.storage": url, "output_dir": name}))
        again = compose(task, overrides)
        assert storage_file(again.study.storage) == file
        assert again.output_dir == name


@pytest.mark.parametrize("name", AWKWARD)
def test_paths_in_a_printed_command(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "best.ckpt").touch()
    settings = {
        "model": "resnet18",
        "model.checkpoint": str(folder / "best.ckpt"),
        "data": "image_folder",
        "data.root": str(folder),
        "train.output": name,
    }
    task, *overrides = typed_in_a_shell(command("train", settings))
    found = compose(task, overrides)
    assert found.model.checkpoint == str(folder / "best.ckpt")
    assert (found.data.root, found.train.output) == (str(folder), name)


def typed_in_a_shell(line):
    """What a program gets when a line is typed into a shell."""
    told = subprocess.run(
        ["bash", "-c", f"xaiprune() {{ printf '%s\\0' \"$@\"; }}; {line}"], capture_output=True, check=True
    )
    return told.stdout.decode().split("\0")[:-1]


def test_a_folder_of_pictures_is_what_is_meant(tmp_path):
    for key in ("root", "test_root"):
        found = compose("evaluate", ["model=resnet18", f"data.{key}={tmp_path}"])
        assert found.data.source == "image_folder"
    with pytest.raises(XaipruneError, match=r"data=digits has no data\.root; leave one of them out"):
        compose("evaluate", ["data=digits", f"data.root={tmp_path}"])
    # Of a study, the images are the study's.
    assert compose("compare", ["study.name=one", f"data.root={tmp_path}"]).data.source == "digits"


def test_a_missing_folder_is_named():
    with pytest.raises(XaipruneError, match=r"data\.root: no such folder: /nowhere"):
        compose("search", ["data=image_folder", "data.root=/nowhere"])


def test_a_study_can_be_reported_where_its_images_are_not():
    compose("report", ["experiment=pxp_resnet18"])


def test_digits_networks_refuse_other_pictures(tmp_path):
    with pytest.raises(XaipruneError, match="is trained on digits"):
        compose("search", ["data=image_folder", f"data.root={tmp_path}"])


def test_resize_and_crop_do_not_contradict():
    with pytest.raises(XaipruneError, match=r"data\.resize must be at least data\.image_size"):
        compose("search", ["data.resize=32", "data.image_size=64"])
    with pytest.raises(XaipruneError, match=r"set one of them"):
        compose("search", ["data.resize=72", "data.crop_pct=0.9"])


def test_unknown_task():
    with pytest.raises(XaipruneError, match="unknown task 'serch'; did you mean 'search'"):
        compose("serch")


def test_a_sweep_is_checked_to_its_last_value():
    with pytest.raises(XaipruneError, match=r"prune\.rate must be in \[0, 1\), got 3"):
        sweep_of("search", ["prune.rate=0.1,0.2,3"])
    typed = ["model=resnet18,digits_vgg", "prune.rate=0.1,0.2", "model.kwargs.num_classes=10"]
    assert sweep_of("search", typed).overrides == (*typed[:2], "++model.kwargs.num_classes=10")


def test_study_names_follow_what_is_pruned(tmp_path):
    (tmp_path / "my photos").mkdir()
    typed = ["model=resnet18", "data=image_folder", f"data.root='{tmp_path}/my photos'", "units=heads"]
    assert compose("search", typed).study.name == "resnet18-my_photos-heads-0.5"


def test_experiments_of_ones_own(tmp_path):
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\nprune:\n  rate: 0.25\n")
    assert compose("search", ["experiment=mine"], config_dir=str(tmp_path)).prune.rate == 0.25
    mine.write_text("# @package _global_\nprune:\n  rat: 0.25\n")
    with pytest.raises(
        XaipruneError, match=r"'prune\.rat' in experiment/mine\.yaml; did you mean 'prune\.rate'"
    ):
        compose("search", ["experiment=mine"], config_dir=str(tmp_path))


def test_composing_leaves_no_hydra_state_behind():
    from hydra.core.global_hydra import GlobalHydra

    compose("search")
    assert not GlobalHydra.instance().is_initialized()


def test_the_folder_of_own_files_becomes_an_override(tmp_path):
    assert without_config_dir(["a=1", "--config-dir", "own", "-m"]) == ["a=1", "-m"]
    assert without_config_dir(["--config-dir=own", "-cd", "own", "--cfg", "job"]) == ["--cfg", "job"]
    typed = prepare("search", ["prune.rate=0.3"], config_dir=str(tmp_path))
    assert typed == ["prune.rate=0.3", f"hydra.searchpath=['xaiprune://{tmp_path}']"]
    assert prepare("search", typed) == typed
    with pytest.raises(XaipruneError, match="--config-dir: no such folder: nowhere"):
        prepare("search", [], config_dir="nowhere")


def test_choices_are_those_that_are_registered_when_they_are_checked(monkeypatch):
    monkeypatch.setitem(UNIT_KINDS._entries, "rows", object())
    assert compose("search", ["units.kind=rows"]).units.kind == "rows"
    assert compose("search", ["units.kind=rows+heads"]).units.kind == "rows+heads"
    with pytest.raises(XaipruneError, match=r"units\.kind must be one of .*, rows, got rows\+columns"):
        compose("search", ["units.kind=rows+columns"])
    with pytest.raises(XaipruneError, match=r"objective\.name must be .*; did you mean 'curve_mean'\?"):
        compose("search", ["objective.name=curve_means"])


def test_composing_does_not_need_torch():
    code = "import sys; from xaiprune.config import compose; compose('search'); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
