"""The networks that removal is tested on: one line each."""

import timm
import torch
import torchvision
from torch import nn

# library, name, arguments, image side, unit kind
NETWORKS = [
    ("timm", "vgg11", {"mlp_ratio": 0.05}, 64, "filters"),
    ("timm", "vgg11_bn", {"mlp_ratio": 0.05}, 64, "filters"),
    ("torchvision", "resnet18", {}, 64, "filters"),
    ("timm", "resnet50", {}, 64, "filters"),
    ("timm", "resnetv2_50", {}, 64, "filters"),
    ("timm", "resnext50_32x4d", {}, 64, "filters"),
    ("timm", "densenet121", {}, 64, "filters"),
    ("timm", "efficientnet_b0", {}, 64, "filters"),
    ("timm", "mobilenetv3_large_100", {}, 64, "filters"),
    ("timm", "convnext_atto", {}, 64, "filters"),
    ("timm", "regnety_002", {}, 64, "filters"),
    ("timm", "vit_tiny_patch16_224", {"img_size": 64, "depth": 3}, 64, "neurons+heads"),
    ("timm", "vit_tiny_patch16_224", {"img_size": 64, "depth": 3}, 64, "linear_outputs"),
    ("timm", "vit_small_patch14_reg4_dinov2", {"img_size": 56, "depth": 3, "num_classes": 10}, 56, "heads"),
    ("timm", "deit_tiny_distilled_patch16_224", {"img_size": 64, "depth": 3}, 64, "neurons+heads"),
    ("timm", "cait_xxs24_224", {"img_size": 64, "depth": 2}, 64, "neurons+heads"),
    ("timm", "swin_tiny_patch4_window7_224", {"img_size": 112, "depths": (2, 2)}, 112, "neurons+heads"),
    ("timm", "mixer_s32_224", {"img_size": 64}, 64, "neurons"),
    ("torchvision", "vit_b_16", {"image_size": 64}, 64, "neurons+heads"),
]
IDS = [f"{name}-{kind}" for _, name, _, _, kind in NETWORKS]


def build(library, name, arguments):
    """A network with random weights, and BatchNorm statistics and classifiers that do something."""
    torch.manual_seed(0)
    if name == "vit_b_16":  # the class, for fewer blocks than the named network has
        model = torchvision.models.VisionTransformer(64, 16, 2, 4, 64, 128, num_classes=10)
    elif library == "torchvision":
        model = torchvision.models.get_model(name, **arguments)
    else:
        model = timm.create_model(name, **arguments)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.Linear) and not module.weight.any():
                module.weight.normal_(0, 0.05)  # classifiers that start at zero would hide every error
    return model.eval()
