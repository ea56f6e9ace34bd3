"""Loading networks: timm's, checkpoints, and what goes wrong."""

import socket

import pytest
import timm
import torch
from safetensors.torch import save_file

from xaiprune.config import DataConfig, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.models import (
    create,
    device_of_worker,
    fingerprint,
    load,
    outputs,
    preprocess,
    resolve_device,
    setup,
)

KWARGS = {"num_classes": 7}


@pytest.fixture
def network():
    return timm.create_model("test_resnet", **KWARGS).eval()


def same(one, other):
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        return torch.allclose(one(images), other(images), atol=1e-5)


@pytest.mark.parametrize("kind", ["safetensors", "torch", "training checkpoint", "tutorial", "data parallel"])
def test_weights_from_a_file(network, tmp_path, kind):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    weights = network.state_dict()
    if kind == "safetensors":
        save_file(weights, path)
    elif kind == "torch":
        torch.save(weights, path)
    elif kind == "training checkpoint":
        torch.save({"state_dict": weights, "epoch": 3}, path)
    elif kind == "tutorial":  # pytorch.org: saving a general checkpoint
        optimizer = torch.optim.Adam(network.parameters()).state_dict()
        state = {f"module.{key}": value for key, value in weights.items()}
        content = {
            "epoch": 3,
            "model_state_dict": state,
            "optimizer_state_dict": optimizer,
            "loss": torch.zeros(()),
        }
        torch.save(content, path)
    else:
        torch.save({f"module.{key}": value for key, value in weights.items()}, path)
    found = load(ModelConfig(name="test_resnet", checkpoint=str(path), kwargs=KWARGS))
    assert not found.training
    assert same(found, network)
    assert fingerprint(found) == fingerprint(network)


def test_half_precision_on_disk_becomes_float32(network, tmp_path):
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()},
        tmp_path / "h.safetensors",
    )
    found = load(ModelConfig(name="test_resnet", checkpoint=str(tmp_path / "h.safetensors"), kwargs=KWARGS))
    assert {p.dtype for p in found.parameters()} == {torch.float32}


def test_num_classes(network):
    assert outputs(create(ModelConfig(name="test_resnet"), num_classes=5)) == 5
    assert outputs(create(ModelConfig(name="test_resnet", kwargs=KWARGS), num_classes=5)) == 7
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    assert outputs(plain) is None
    assert outputs(plain, torch.zeros(1, 3, 2, 2)) == 3


def test_mismatched_keys_are_listed_and_shortened(network, tmp_path):
    weights = network.state_dict()
    weights["mystery.weight"] = weights.pop(
        "conv1.0.weight" if "conv1.0.weight" in weights else "conv1.weight"
    )
    for key in [k for k in weights if k.startswith("layer1")]:
        del weights[key]
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(XaipruneError) as error:
        load(ModelConfig(name="test_resnet", checkpoint=str(tmp_path / "w.pt"), kwargs=KWARGS))
    message = str(error.value)
    assert "does not fit test_resnet" in message
    assert "unexpected: mystery.weight" in message
    assert "more" in message
    assert "\n" not in message


def test_another_number_of_outputs_says_what_to_set(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with pytest.raises(
        XaipruneError, match=r"its classifier has 7 outputs: set model\.kwargs\.num_classes=7"
    ):
        load(ModelConfig(name="test_resnet", checkpoint=str(tmp_path / "w.pt")))


class Malicious:
    def __reduce__(self):
        return (print, ("this code must not run",))


@pytest.mark.parametrize("content", ["text", "truncated", "code", "list", "script"])
def test_unreadable_weights(network, tmp_path, content, capsys):
    path = tmp_path / "w.pt"
    if content == "text":
        path.write_text("hello")
    elif content == "truncated":
        torch.save(network.state_dict(), path)
        path.write_bytes(path.read_bytes()[:1000])
    elif content == "code":
        torch.save({"state_dict": Malicious()}, path)
    elif content == "script":
        torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)).save(path)
    else:
        torch.save([1, 2], path)
    with pytest.raises(XaipruneError) as error:
        load(ModelConfig(name="test_resnet", checkpoint=str(path), kwargs=KWARGS))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)
    assert "trust" not in str(error.value)
    assert ("code is not run" in str(error.value)) == (content == "code")
    assert "must not run" not in capsys.readouterr().out


def test_of_two_state_dicts_neither_is_taken(network, tmp_path):
    torch.save({"student": network.state_dict(), "teacher": network.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(XaipruneError, match="tensors, but 2: student, teacher; save one"):
        load(ModelConfig(name="test_resnet", checkpoint=str(tmp_path / "w.pt"), kwargs=KWARGS))


def test_truncated_safetensors(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(XaipruneError, match="cannot read weights from"):
        load(ModelConfig(name="test_resnet", checkpoint=str(path), kwargs=KWARGS))


def test_wrong_arguments_name_the_key():
    with pytest.raises(XaipruneError, match=r"model\.kwargs: test_resnet does not take them.*depht"):
        create(ModelConfig(name="test_resnet", kwargs={"depht": 3}))


def test_offline_pretrained_names_the_way_out(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for config in (ModelConfig(name="test_resnet"), ModelConfig(name="test_resnet", pretrained=True)):
        with pytest.raises(
            XaipruneError,
            match=r"the weights of test_resnet.*model\.checkpoint=FILE, or model\.pretrained=false",
        ):
            load(config)


def test_weights_that_timm_does_not_have():
    with pytest.raises(
        XaipruneError, match=r"cannot create model 'resnet18\.no_such_tag': Invalid pretrained tag"
    ):
        load(ModelConfig(name="resnet18.no_such_tag"))
    with pytest.raises(XaipruneError, match="timm has no weights of resnet18_without; set model"):
        load(ModelConfig(name="resnet18_without"))


def test_weights_of_timm_with_other_classes_are_refused():
    """Timm would give the network a random classifier without a word."""
    with pytest.raises(
        XaipruneError, match=r"timm's weights of test_resnet have 1,000 classes, not 7 \(model\.kw"
    ):
        load(ModelConfig(name="test_resnet", kwargs=KWARGS))
    assert outputs(load(ModelConfig(name="test_resnet", pretrained=False, kwargs=KWARGS))) == 7


def test_random_weights_are_mentioned(caplog):
    load(ModelConfig(name="test_resnet", pretrained=False))
    assert "test_resnet has random weights, as model.pretrained=false asks for" in caplog.text


@pytest.mark.parametrize(
    ("name", "kwargs", "size", "mean"),
    [
        ("resnet18", {}, (224, 224), (0.485, 0.456, 0.406)),
        ("vit_tiny_patch16_224", {}, (224, 224), (0.5, 0.5, 0.5)),
        ("vit_tiny_patch16_224", {"img_size": 64}, (64, 64), (0.5, 0.5, 0.5)),
        ("digits_vgg", {}, (28, 28), (0.5, 0.5, 0.5)),
    ],
)
def test_preprocessing_is_timms(name, kwargs, size, mean):
    found = preprocess(timm.create_model(name, **kwargs))
    assert found.size == size
    assert found.mean == mean


def test_fingerprint_follows_weights_and_architecture(network):
    before = fingerprint(network)
    assert before == fingerprint(network.double().float())
    network.fc.bias.data[0] += 1e-3
    changed = fingerprint(network)
    assert changed != before
    network.fc = torch.nn.Sequential(network.fc)
    assert fingerprint(network) != changed
    assert len(fingerprint(network.bfloat16())) == 16


def test_every_worker_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    found = [device_of_worker("auto", worker) for worker in range(4)]
    assert found == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert device_of_worker("auto", None) == "auto"
    assert device_of_worker("cpu", 1) == "cpu"
    assert device_of_worker("cuda:2", 0) == "cuda:2"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of_worker("auto", 1) == "auto"


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(XaipruneError, match="device=cuda:99 is not there"):
        resolve_device("cuda:99")
    with pytest.raises(XaipruneError, match="device must be"):
        resolve_device("quantum")


def test_setup_opens_network_and_images_together(network, session_cache):
    opened = setup(
        ModelConfig(name="digits_resnet"),
        DataConfig(cache_dir=session_cache, image_size=32, reference_per_class=2),
        device="cpu",
        network=timm.create_model("test_resnet", num_classes=10),
    )
    assert opened.example(2).shape == (2, 3, 32, 32)
    assert opened.preprocess.size == (32, 32)
    assert not opened.model.training
    with pytest.raises(XaipruneError, match="10 classes, but the network has 7 outputs"):
        setup(ModelConfig(name="x"), DataConfig(cache_dir=session_cache), device="cpu", network=network)


def test_a_pruned_folder_is_not_opened_here():
    with pytest.raises(XaipruneError, match=r"xaiprune\.load_pruned"):
        load(ModelConfig(name="resnet18", pruned="folder"))


REAL = {
    "resnet18": ("resnet18.safetensors", {}, {"image_size": 224, "resize": 224}, 0.97),
    "vit_tiny_patch16_224": ("vit_tiny_patch16_224.safetensors", {}, {"resize": 224}, 0.97),
    "vgg11_bn": (
        "vgg11_bn_64.safetensors",
        {"num_classes": 10, "mlp_ratio": 0.125},
        {"image_size": 64, "resize": 72, "interpolation": "bicubic"},
        0.80,
    ),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_networks_know_real_photographs(name, shared_data, session_cache):
    weights, kwargs, geometry, least = REAL[name]
    opened = setup(
        ModelConfig(name=name, checkpoint=str(shared_data / "weights" / weights), kwargs=kwargs),
        DataConfig(
            source="image_folder",
            root=str(shared_data / "imagenette"),
            cache_dir=session_cache,
            validation_per_class=1,
            test_per_class=6,
            **geometry,
        ),
        device="cpu",
    )
    some = opened.data.test
    with torch.inference_mode():
        found = opened.data.task.select(opened.model(some.tensor())).argmax(1)
    assert (found == some.labels).float().mean() >= least - 0.1
