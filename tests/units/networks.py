"""Small networks, seeded and untrained, with BatchNorms that are not the identity."""

import torch
from torch import nn

from xaiprune.models import small


def _seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def resnet():
    return _seeded(small.digits_resnet)


def vit():
    return _seeded(small.digits_vit)


def chain():
    """As a VGG; its last convolution is read through a flattened map."""
    return _seeded(_chain)


def _chain():
    layers = [nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(12, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(4)]
    layers += [nn.Flatten(), nn.Linear(16 * 2 * 2, 20), nn.ReLU(), nn.Linear(20, 10)]
    model = nn.Sequential(*layers)
    model.image_size = 16
    return model
