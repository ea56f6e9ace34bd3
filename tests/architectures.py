"""The networks that everything is tried on, and how they are built: random weights of every kind.

The smallest network of every module of timm (of some with fewer blocks and channels), torchvision's own
classifiers and those of transformers. docs/networks.md shows what can be done with each.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import convnext, swin_transformer

from xaiprune.testing.networks import Findings, attribution, export, removal

CLASSES = 10


def _of_timm(name: str, **options: Any) -> nn.Module:
    return timm.create_model(name, num_classes=CLASSES, **options)


def _of_torchvision(name: str, **options: Any) -> nn.Module:
    model: nn.Module = getattr(torchvision.models, name)(num_classes=CLASSES, **options)
    return model


def _vgg_of_torchvision(name: str) -> nn.Module:
    with torch.device("meta"):  # the original classifier of 4,096 neurons would be half a gigabyte
        model = getattr(torchvision.models, name)()
    first, last = nn.Linear(512 * 7 * 7, 40), nn.Linear(40, CLASSES)
    model.classifier = nn.Sequential(first, nn.ReLU(True), nn.Dropout(), last)
    return model.to_empty(device="cpu")


def _of_transformers(name: str, attention: str = "", **options: Any) -> nn.Module:
    library = importlib.import_module("transformers")
    config = getattr(library, name.replace("ForImageClassification", "Config"))(num_labels=CLASSES, **options)
    if attention:
        config._attn_implementation = attention
    model: nn.Module = getattr(library, name)(config)
    return model


@dataclass(frozen=True)
class Network:
    """A network on images as small as it takes.

    Attributes:
        name: Its library's.
        size: Side of an image in pixels.
        options: Further arguments of what makes it.
        count: How many images tests use.
        dtype: Double precision unless that takes too long.
        make: Makes it of name and options.
    """

    name: str
    size: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)
    count: int = 3
    dtype: torch.dtype = torch.float64
    make: Callable[..., nn.Module] = _of_timm

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `timm.create_model`."""
        return {"num_classes": CLASSES, **self.options}

    @property
    def is_timms(self) -> bool:
        """Whether pruned networks of it can be saved by name."""
        return self.make is _of_timm

    def build(self) -> nn.Module:
        """The network in eval mode, with random weights of every kind (`randomized`)."""
        return randomized(self.make(self.name, **self.options)).to(self.dtype)

    def images(self) -> Tensor:
        """Random images, (count, 3, size, size)."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.count, 3, self.size, self.size, generator=generator).to(self.dtype)


def _at_64(name: str, **options: Any) -> Network:
    return Network(name, options={"img_size": 64, **options})


def _torchvision(name: str, size: int = 64, **options: Any) -> Network:
    return Network(name, size, options, make=_of_torchvision)


def _transformers(name: str, **options: Any) -> Network:
    return Network(name, 32, {"image_size": 32, **options}, make=_of_transformers)


# Blocks are alike: two of them, and few channels, show what can be done with a network.
_SHALLOW: dict[str, Any] = {"depth": 2, "embed_dim": 96, "num_heads": 4}
_SWIN: dict[str, Any] = {
    "patch_size": [4, 4],
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": [4, 4],
}
_LARGE: dict[str, Any] = {"count": 2, "dtype": torch.float32}

# module of timm -> its smallest network
TIMM: dict[str, Network] = {
    "beit": _at_64("beit_base_patch16_224", **_SHALLOW),
    "byoanet": Network("halonet_h1", 256, count=2),
    "byobnet": Network("test_byobnet"),
    "cait": _at_64("cait_xxs24_224", depth=2),
    "coat": _at_64("coat_tiny"),
    "convit": _at_64("convit_tiny", depth=3, local_up_to_layer=2),
    "convmixer": Network("convmixer_768_32", 32),
    "convnext": Network("test_convnext"),
    "cpubone": Network("cpubone_nano"),
    "crossvit": Network("crossvit_tiny_240", options={"depth": ((1, 1, 0),) * 3}),
    "csatv2": Network("csatv2"),
    "cspnet": Network("cs3darknet_focus_s"),
    "cspnext": Network("cspnext_tiny"),
    "davit": Network("davit_tiny", options={"depths": (1, 1, 1, 1), "embed_dims": (24, 48, 96, 192)}),
    "deepseek_vit": Network("deepseek_vit_412m", 56, {"img_size": 56, **_SHALLOW}),
    "deit": _at_64("deit_tiny_patch16_224", depth=2),
    "densenet": Network("densenet121"),
    "dla": Network("dla46x_c"),
    "dpn": Network("dpn48b"),
    "edgenext": Network("edgenext_xx_small"),
    "efficientformer": Network("efficientformer_l1", 224, {"depths": (1, 1, 1, 2)}),
    "efficientformer_v2": _at_64("efficientformerv2_s0"),
    "efficientnet": Network("test_efficientnet"),
    "efficientvim": Network("efficientvim_m1"),
    "efficientvit_mit": Network("efficientvit_b0"),
    "efficientvit_msra": _at_64("efficientvit_m0"),
    "eva": _at_64("vit_tiny_patch16_dinov3_qkvb", depth=2),
    "fasternet": Network("fasternet_t0"),
    "fastvit": Network("fastvit_t8"),
    "focalnet": Network("focalnet_tiny_srf"),
    "gcvit": _at_64("gcvit_xxtiny"),
    "gemma4_vit": Network("gemma4_vit_167m_enc", 48, {"global_pool": "avg", **_SHALLOW}),
    "ghostnet": Network("ghostnet_050"),
    "hardcorenas": Network("hardcorenas_b"),
    "hgnet": Network("hgnetv2_b0"),
    "hiera": _at_64("hiera_tiny_224", stages=(1, 1, 2, 1), embed_dim=24),
    "hieradet_sam2": Network("sam2_hiera_tiny"),
    "hrnet": Network("hrnet_w18_small"),
    "iformer": Network("iformer_t"),
    "inception_next": Network("inception_next_atto"),
    "inception_resnet_v2": Network("inception_resnet_v2", 75, **_LARGE),
    "inception_v3": Network("inception_v3", 75),
    "inception_v4": Network("inception_v4", 75),
    "lcnetv2": Network("lcnetv2_small"),
    "levit": _at_64("levit_128s"),
    "lowformer": Network("lowformer_b0"),
    "mambaout": Network("test_mambaout"),
    "maxxvit": _at_64("test_coatnet"),
    "metaformer": Network("poolformerv2_s12"),
    "mlp_mixer": _at_64("gmlp_ti16_224"),
    "mobilenetv3": Network("lcnet_035"),
    "mobilenetv5": Network("mobilenetv5_base", **_LARGE),
    "mobilevit": _at_64("mobilevit_xxs"),
    "mvitv2": _at_64("mvitv2_tiny"),
    "naflexvit": _at_64("naflexvit_base_patch16_parfac_gap", **_SHALLOW),
    "nasnet": Network("nasnetalarge", 32, {"stem_size": 32, "num_features": 1056}),
    "nest": _at_64("nest_tiny"),
    "nextvit": Network("nextvit_small"),
    "nfnet": Network("test_nfnet"),
    "pit": _at_64("pit_ti_224"),
    "pnasnet": Network("pnasnet5large", 32, **_LARGE),
    "pvt_v2": Network("pvt_v2_b0"),
    "qwen3_vit": _at_64("qwen3_vit_88m", **_SHALLOW),
    "rdnet": Network("rdnet_tiny", options={"num_blocks_list": (2,) * 7}),
    "regnet": Network("regnetx_002"),
    "repghost": Network("repghostnet_050"),
    "repvit": Network("repvit_m1"),
    "res2net": Network("res2next50"),
    "resnest": Network("resnest14d"),
    "resnet": Network("test_resnet"),
    "resnetv2": Network("resnetv2_18"),
    "rexnet": Network("rexnet_100"),
    "selecsls": Network("selecsls42"),
    "senet": Network("legacy_seresnet18"),
    "sequencer": _at_64("sequencer2d_s", layers=(1, 1, 1, 1)),
    "shvit": Network("shvit_s1"),
    "sknet": Network("skresnet18"),
    "starnet": Network("starnet_s050"),
    "swiftformer": Network("swiftformer_xs"),
    "swin_transformer": _at_64("swin_tiny_patch4_window7_224", depths=(1, 2, 2, 1), embed_dim=24),
    "swin_transformer_v2": _at_64("swinv2_tiny_window8_256", depths=(1, 2, 2, 1), embed_dim=24),
    "swin_transformer_v2_cr": _at_64("swinv2_cr_tiny_224", depths=(1, 2, 2, 1), embed_dim=24),
    "tiny_vit": Network("tiny_vit_5m_224", options={"depths": (1, 1, 2, 1)}),
    "tnt": _at_64("tnt_s_legacy_patch16_224", depth=2),
    "tresnet": Network("tresnet_m", options={"layers": (1, 1, 2, 1)}),
    "twins": _at_64("twins_svt_small", depths=(2, 2, 2, 2), embed_dims=(32, 64, 64, 128)),
    "vgg": Network("vgg11", 32, {"mlp_ratio": 0.02}),
    "visformer": _at_64("visformer_tiny", depth=(2, 2, 2)),
    "vision_transformer": _at_64("test_vit"),
    "vision_transformer_hybrid": _at_64("vit_tiny_r_s16_p8_224", depth=2),
    "vision_transformer_relpos": _at_64("test_vit_relpos"),
    "vision_transformer_sam": _at_64("samvit_base_patch16_224", **_SHALLOW),
    "vitamin": _at_64("vitamin_small_224"),
    "volo": _at_64("volo_d1_224"),
    "vovnet": Network("ese_vovnet19b_slim_dw"),
    "xception": Network("legacy_xception"),
    "xception_aligned": Network("xception41p"),
    "xcit": _at_64("xcit_nano_12_p8_224", depth=2),
}
# What the smallest network of a module does not have: norms written out, response norms, lambda layers, ...
FURTHER: dict[str, Network] = {
    "convnext, RMSNorm": Network("convnext_atto_rms"),
    "convnext, response norm": Network("convnextv2_atto"),
    "byoanet, lambda layers": Network("lambda_resnet26t"),
    "maxxvit, MaxViT": _at_64("test_maxvit"),
    "resnet, blurred pooling": Network("resnetblur18"),
    "efficientnet, conditional convolutions": Network("tf_efficientnet_cc_b0_4e"),
    "efficientnet, MobileNetV2": Network("mobilenetv2_035"),
    "eva, packed gates": Network("eva02_tiny_patch14_224", 56, {"img_size": 56, "depth": 2}),
    "nfnet, RegNet": Network("nf_regnet_b0"),
}
TORCHVISION: dict[str, Network] = {
    "convnext": _torchvision(
        "ConvNeXt", block_setting=[convnext.CNBlockConfig(16, 32, 2), convnext.CNBlockConfig(32, None, 2)]
    ),
    "efficientnet": _torchvision("efficientnet_b0"),
    "googlenet": _torchvision("googlenet", init_weights=False, aux_logits=False, transform_input=True),
    "maxvit": _torchvision(
        "MaxVit",
        input_size=(64, 64),
        stem_channels=16,
        partition_size=4,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
    ),
    "mobilenetv3": _torchvision("mobilenet_v3_small"),
    "regnet": _torchvision("regnet_x_400mf"),
    "resnet": _torchvision("resnet18"),
    "shufflenetv2": _torchvision("shufflenet_v2_x0_5"),
    "squeezenet": _torchvision("squeezenet1_1"),
    "swin_transformer": _torchvision("SwinTransformer", **_SWIN),
    "swin_transformer, V2": _torchvision(
        "SwinTransformer",
        **_SWIN,
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    ),
    "vgg": Network("vgg11_bn", make=_vgg_of_torchvision),
    "vision_transformer": _torchvision(
        "VisionTransformer",
        image_size=64,
        patch_size=16,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
    ),
}
TRANSFORMERS: dict[str, Network] = {
    "convnext": _transformers(
        "ConvNextForImageClassification", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
    ),
    "swin": _transformers(
        "SwinForImageClassification", embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "vit": _transformers(
        "ViTForImageClassification",
        patch_size=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_size=32,
        intermediate_size=48,
    ),
}
NETWORKS: dict[str, Network] = {
    f"{library}: {name}": network
    for library, networks in {
        "timm": TIMM | FURTHER,
        "torchvision": TORCHVISION,
        "transformers": TRANSFORMERS,
    }.items()
    for name, network in networks.items()
}


PARTS = ("removal", "attribution", "export")


def findings(network: Network, part: str) -> Findings:
    """What one part of the conformance suite finds of a network.

    Raises:
        AssertionError: Something is wrong.
    """
    model, images = network.build(), network.images()
    if part == "attribution":
        return attribution(model, images)
    if part == "export":
        return export(model, images)
    return removal(model, images, network.name if network.is_timms else "", network.arguments)


def timm_modules() -> set[str]:
    """The modules of timm that have networks; those that this program registers are not timm's."""
    where = {timm.model_entrypoint(name).__module__ for name in timm.list_models()}
    return {name.rpartition(".")[2] for name in where if name.startswith("timm.")}


def randomized(model: nn.Module, biases: bool = True) -> nn.Module:
    """Random weights of every kind in float64, so that no part of a network is switched off; eval mode.

    A fresh network's biases are zero, its BatchNorms do nothing and its layer scales hide whole blocks.

    Args:
        model: Changed in place.
        biases: Whether anything is added that does not come from the image; without, biases, tokens,
            position embeddings and running means are zero.
    """
    model.double().eval()
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if parameter.dim() == 1 and not name.endswith("bias"):  # scales
            parameter.data.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("weight"):
            parameter.data.normal_(0, (1.5 / parameter[0].numel()) ** 0.5, generator=generator)
        else:
            parameter.data.normal_(0, 0.2 if biases else 0.0, generator=generator)
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            module.running_mean.normal_(0, 0.2 if biases else 0.0, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return model
