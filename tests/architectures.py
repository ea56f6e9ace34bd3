"""The smallest network of every module of timm, and how any network gets random weights of every kind."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class TimmNetwork:
    """A network of timm on images as small as it takes.

    Attributes:
        name: timm's.
        size: Side of an image in pixels.
        options: Further arguments of `timm.create_model`.
        count: How many images tests use.
        dtype: Double precision unless that takes too long.
    """

    name: str
    size: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)
    count: int = 3
    dtype: torch.dtype = torch.float64

    def build(self, classes: int = 10) -> nn.Module:
        """The network in eval mode, with random weights of every kind (`randomized`)."""
        return randomized(timm.create_model(self.name, num_classes=classes, **self.options)).to(self.dtype)

    def images(self) -> Tensor:
        """Random images, (count, 3, size, size)."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.count, 3, self.size, self.size, generator=generator).to(self.dtype)


def _at_64(name: str, **options: Any) -> TimmNetwork:
    return TimmNetwork(name, options={"img_size": 64, **options})


_LARGE: dict[str, Any] = {"count": 2, "dtype": torch.float32}

# module of timm -> its smallest network
TIMM: dict[str, TimmNetwork] = {
    "beit": _at_64("beit_base_patch16_224", depth=2),
    "byoanet": TimmNetwork("halonet_h1", 256, count=2),
    "byobnet": TimmNetwork("test_byobnet"),
    "cait": _at_64("cait_xxs24_224", depth=2),
    "coat": _at_64("coat_tiny"),
    "convit": _at_64("convit_tiny"),
    "convmixer": TimmNetwork("convmixer_768_32", 32),
    "convnext": TimmNetwork("test_convnext"),
    "cpubone": TimmNetwork("cpubone_nano"),
    "crossvit": TimmNetwork("crossvit_tiny_240"),
    "csatv2": TimmNetwork("csatv2"),
    "cspnet": TimmNetwork("cs3darknet_focus_s"),
    "cspnext": TimmNetwork("cspnext_tiny"),
    "davit": TimmNetwork("davit_tiny"),
    "deepseek_vit": TimmNetwork(
        "deepseek_vit_412m", 56, {"img_size": 56, "depth": 2}, count=2, dtype=torch.float32
    ),
    "deit": _at_64("deit_tiny_patch16_224", depth=2),
    "densenet": TimmNetwork("densenet121"),
    "dla": TimmNetwork("dla46x_c"),
    "dpn": TimmNetwork("dpn48b"),
    "edgenext": TimmNetwork("edgenext_xx_small"),
    "efficientformer": TimmNetwork("efficientformer_l1", 224),
    "efficientformer_v2": _at_64("efficientformerv2_s0"),
    "efficientnet": TimmNetwork("test_efficientnet"),
    "efficientvim": TimmNetwork("efficientvim_m1"),
    "efficientvit_mit": TimmNetwork("efficientvit_b0"),
    "efficientvit_msra": _at_64("efficientvit_m0"),
    "eva": _at_64("vit_tiny_patch16_dinov3_qkvb", depth=2),
    "fasternet": TimmNetwork("fasternet_t0"),
    "fastvit": TimmNetwork("fastvit_t8"),
    "focalnet": TimmNetwork("focalnet_tiny_srf"),
    "gcvit": _at_64("gcvit_xxtiny"),
    "gemma4_vit": TimmNetwork(
        "gemma4_vit_167m_enc", 48, {"global_pool": "avg", "depth": 2}, count=2, dtype=torch.float32
    ),
    "ghostnet": TimmNetwork("ghostnet_050"),
    "hardcorenas": TimmNetwork("hardcorenas_b"),
    "hgnet": TimmNetwork("hgnetv2_b0"),
    "hiera": _at_64("hiera_tiny_224"),
    "hieradet_sam2": TimmNetwork("sam2_hiera_tiny"),
    "hrnet": TimmNetwork("hrnet_w18_small"),
    "iformer": TimmNetwork("iformer_t"),
    "inception_next": TimmNetwork("inception_next_atto"),
    "inception_resnet_v2": TimmNetwork("inception_resnet_v2", 75, **_LARGE),
    "inception_v3": TimmNetwork("inception_v3", 75),
    "inception_v4": TimmNetwork("inception_v4", 75),
    "lcnetv2": TimmNetwork("lcnetv2_small"),
    "levit": _at_64("levit_128s"),
    "lowformer": TimmNetwork("lowformer_b0"),
    "mambaout": TimmNetwork("test_mambaout"),
    "maxxvit": _at_64("test_coatnet"),
    "metaformer": TimmNetwork("poolformerv2_s12"),
    "mlp_mixer": _at_64("gmlp_ti16_224"),
    "mobilenetv3": TimmNetwork("lcnet_035"),
    "mobilenetv5": TimmNetwork("mobilenetv5_base", **_LARGE),
    "mobilevit": _at_64("mobilevit_xxs"),
    "mvitv2": _at_64("mvitv2_tiny"),
    "naflexvit": _at_64("naflexvit_base_patch16_parfac_gap", depth=2),
    "nasnet": TimmNetwork("nasnetalarge", 32, **_LARGE),
    "nest": _at_64("nest_tiny"),
    "nextvit": TimmNetwork("nextvit_small"),
    "nfnet": TimmNetwork("test_nfnet"),
    "pit": _at_64("pit_ti_224"),
    "pnasnet": TimmNetwork("pnasnet5large", 32, **_LARGE),
    "pvt_v2": TimmNetwork("pvt_v2_b0"),
    "qwen3_vit": _at_64("qwen3_vit_88m", depth=2),
    "rdnet": TimmNetwork("rdnet_tiny"),
    "regnet": TimmNetwork("regnetx_002"),
    "repghost": TimmNetwork("repghostnet_050"),
    "repvit": TimmNetwork("repvit_m1"),
    "res2net": TimmNetwork("res2next50"),
    "resnest": TimmNetwork("resnest14d"),
    "resnet": TimmNetwork("test_resnet"),
    "resnetv2": TimmNetwork("resnetv2_18"),
    "rexnet": TimmNetwork("rexnet_100"),
    "selecsls": TimmNetwork("selecsls42"),
    "senet": TimmNetwork("legacy_seresnet18"),
    "sequencer": _at_64("sequencer2d_s"),
    "shvit": TimmNetwork("shvit_s1"),
    "sknet": TimmNetwork("skresnet18"),
    "starnet": TimmNetwork("starnet_s050"),
    "swiftformer": TimmNetwork("swiftformer_xs"),
    "swin_transformer": _at_64("swin_tiny_patch4_window7_224"),
    "swin_transformer_v2": _at_64("swinv2_tiny_window8_256"),
    "swin_transformer_v2_cr": _at_64("swinv2_cr_tiny_224"),
    "tiny_vit": TimmNetwork("tiny_vit_5m_224"),
    "tnt": _at_64("tnt_s_legacy_patch16_224"),
    "tresnet": TimmNetwork("tresnet_m"),
    "twins": _at_64("twins_svt_small"),
    "vgg": TimmNetwork("vgg11", 32, {"mlp_ratio": 0.05}),
    "visformer": _at_64("visformer_tiny"),
    "vision_transformer": _at_64("test_vit"),
    "vision_transformer_hybrid": _at_64("vit_tiny_r_s16_p8_224"),
    "vision_transformer_relpos": _at_64("test_vit_relpos"),
    "vision_transformer_sam": _at_64("samvit_base_patch16_224", depth=2),
    "vitamin": _at_64("vitamin_small_224"),
    "volo": _at_64("volo_d1_224"),
    "vovnet": TimmNetwork("ese_vovnet19b_slim_dw"),
    "xception": TimmNetwork("legacy_xception"),
    "xception_aligned": TimmNetwork("xception41p"),
    "xcit": _at_64("xcit_nano_12_p8_224"),
}
# What the smallest network of a module does not have: norms written out, response norms, lambda layers, ...
FURTHER: dict[str, TimmNetwork] = {
    "convnext, RMSNorm": TimmNetwork("convnext_atto_rms"),
    "convnext, response norm": TimmNetwork("convnextv2_atto"),
    "byoanet, lambda layers": TimmNetwork("lambda_resnet26t"),
    "maxxvit, MaxViT": _at_64("test_maxvit"),
    "resnet, blurred pooling": TimmNetwork("resnetblur18"),
    "efficientnet, conditional convolutions": TimmNetwork("tf_efficientnet_cc_b0_4e"),
}


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
