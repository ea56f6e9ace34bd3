"""The networks that the engine is tested on: a new architecture is one line in ARCHITECTURES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from timm.layers import GroupNormAct, StdConv2d
from timm.models.mlp_mixer import MlpMixer
from timm.models.resnetv2 import ResNetV2
from torch import nn

from tests.architectures import randomized as randomized

CLASSES = 7


def small_vgg(name: str) -> nn.Module:
    """Torchvision's VGG with its convolutions as they are and a classifier of 40 instead of 4096 neurons."""
    with torch.device("meta"):  # the original classifier would be half a gigabyte
        model = getattr(torchvision.models, name)()
        model.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 40), nn.ReLU(True), nn.Dropout(), nn.Linear(40, CLASSES)
        )
    return model.to_empty(device="cpu")


def _torchvision(name: str) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(num_classes=CLASSES)


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES, **options)


def _torchvision_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=64,
        patch_size=16,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
        num_classes=CLASSES,
    )


def _resnetv2_bit() -> nn.Module:
    """Big Transfer's kind of block: standardised weights and GroupNorm."""
    return ResNetV2(
        layers=(1, 1, 1, 1),
        channels=(128, 128, 256, 256),
        stem_type="fixed",
        conv_layer=StdConv2d,
        norm_layer=GroupNormAct,
        num_classes=CLASSES,
    )


def _mixer() -> nn.Module:
    return MlpMixer(img_size=64, patch_size=16, num_blocks=3, embed_dim=64, num_classes=CLASSES)


_VIT = {"img_size": 64, "depth": 3}

ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    # name: (constructor, input size in pixels)
    "torchvision vgg11": (lambda: small_vgg("vgg11"), 32),
    "torchvision vgg16": (lambda: small_vgg("vgg16"), 32),
    "torchvision vgg16_bn": (lambda: small_vgg("vgg16_bn"), 32),
    "torchvision resnet18": (_torchvision("resnet18"), 32),
    "torchvision resnet50": (_torchvision("resnet50"), 32),
    "torchvision densenet121": (_torchvision("densenet121"), 32),
    "torchvision vit": (_torchvision_vit, 64),
    "timm vgg11_bn": (_timm("vgg11_bn", mlp_ratio=0.02), 64),
    "timm resnet18": (_timm("resnet18"), 32),
    "timm resnetv2_18": (_timm("resnetv2_18"), 32),
    "timm resnetv2 with GroupNorm": (_resnetv2_bit, 32),
    "timm resnext50_32x4d": (_timm("resnext50_32x4d"), 32),
    "timm efficientnet_b0": (_timm("efficientnet_b0"), 32),
    "timm mobilenetv3_large_100": (_timm("mobilenetv3_large_100"), 32),
    "timm convnext_atto": (_timm("convnext_atto"), 64),
    "timm regnety_002": (_timm("regnety_002"), 32),
    "timm vit_tiny": (_timm("vit_tiny_patch16_224", **_VIT), 64),
    "timm vit_tiny with registers": (_timm("vit_tiny_patch16_224", reg_tokens=4, **_VIT), 64),
    "timm vit_tiny with layer scale": (_timm("vit_tiny_patch16_224", init_values=1e-5, **_VIT), 64),
    "timm vit_tiny, average pooling": (
        _timm("vit_tiny_patch16_224", global_pool="avg", class_token=False, **_VIT),
        64,
    ),
    "timm deit_tiny_distilled": (_timm("deit_tiny_distilled_patch16_224", **_VIT), 64),
    "timm cait_xxs24": (_timm("cait_xxs24_224", **_VIT), 64),
    "timm swin_tiny": (
        _timm("swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(2, 2, 1, 1)),
        64,
    ),
    "timm swinv2_tiny": (
        _timm("swinv2_tiny_window8_256", img_size=64, window_size=4, depths=(2, 2, 1, 1)),
        64,
    ),
    "timm mixer": (_mixer, 64),
}
