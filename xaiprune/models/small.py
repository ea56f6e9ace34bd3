"""Three small networks for the digits, built from timm's own classes and registered with timm.

They have the parts of large networks (BatchNorm after each convolution, residual stages with projection
shortcuts, a fused qkv) at a size that trains in seconds on two processor cores.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vgg import VGG
from timm.models.vision_transformer import VisionTransformer
from torch import nn


def _cfg(side: int, first_conv: str, classifier: str) -> dict[str, Any]:
    return {
        "num_classes": 10,
        "input_size": (3, side, side),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": first_conv,
        "classifier": classifier,
    }


# timm's decorator looks this name up in the module.
default_cfgs = generate_default_cfgs(
    {
        # 28 -> 14 -> 7: VGG's first dense layer is a 7x7 convolution.
        "digits_vgg.untrained": _cfg(28, "features.0", "head.fc"),
        "digits_resnet.untrained": _cfg(32, "conv1", "fc"),
        "digits_vit.untrained": _cfg(32, "patch_embed.proj", "head"),
    }
)


@register_model
def digits_vgg(pretrained: bool = False, **kwargs: Any) -> VGG:
    """VGG-like: five 3x3 convolutions with BatchNorm, two poolings, two dense layers. 28x28 pixels."""
    shape = {
        "cfg": [24, 32, "M", 48, 48, "M", 64],
        "mlp_ratio": 1 / 32,
        "norm_layer": nn.BatchNorm2d,
        "num_classes": 10,
    }
    return build_model_with_cfg(VGG, "digits_vgg", pretrained, **{**shape, **kwargs})


@register_model
def digits_resnet(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-like: four stages of two basic blocks, 16 to 64 channels. 32x32 pixels."""
    shape = {
        "block": BasicBlock,
        "layers": (2, 2, 2, 2),
        "channels": (16, 24, 32, 64),
        "stem_width": 16,
        "num_classes": 10,
    }
    return build_model_with_cfg(ResNet, "digits_resnet", pretrained, **{**shape, **kwargs})


@register_model
def digits_vit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT: six blocks of four heads on 8x8 patches of 32x32 pixels (16 tokens and the class token)."""
    shape = {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 64,
        "depth": 6,
        "num_heads": 4,
        "mlp_ratio": 3,
        "num_classes": 10,
    }
    return build_model_with_cfg(VisionTransformer, "digits_vit", pretrained, **{**shape, **kwargs})
