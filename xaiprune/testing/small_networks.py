"""Small networks for tests, with their unit layers written by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xaiprune.units.layer import UnitLayer

CLASSES = 5


class Residual(nn.Module):
    """Two convolutions with BatchNorm around a shortcut, everything in place, as torchvision writes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


class SmallResNet(nn.Module):
    """Stem, one residual block, pooling and a classifier; BatchNorms with statistics of their own."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.block = Residual(6)
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


RESNET_UNITS = (
    UnitLayer("stem", "filters", 6, "bn", removable=False),
    UnitLayer("block.conv1", "inner_filters", 6, "block.bn1"),
    UnitLayer("block.conv2", "filters", 6, "block.bn2", removable=False),
)


class Attention(nn.Module):
    """Fused qkv and scaled dot-product attention, as timm writes it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, tokens, width))


class SmallTransformer(nn.Module):
    """Patch embedding, one attention block, one MLP, mean over tokens."""

    def __init__(self, width: int = 12, heads: int = 3, classes: int = CLASSES) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 4, stride=4)
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 16)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(16, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.attn(self.norm1(x))
        x = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return self.head(x.mean(1))


TRANSFORMER_UNITS = (
    UnitLayer("attn", "heads", 3, "attn.proj", where="input", dim=-1, width=4),
    UnitLayer("fc1", "neurons", 16, "fc1", dim=-1),
)


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with BatchNorm statistics that depend on the seed alone; eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.get_buffer("running_mean").normal_(0, 0.3, generator=generator)
            module.get_buffer("running_var").uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
    return network.eval()


def small_resnet(seed: int = 0) -> nn.Module:
    """A `SmallResNet` of that seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return seeded(SmallResNet(), seed)


def bias_free_resnet() -> nn.Module:
    """A `SmallResNet` without any bias, in float64; its BatchNorms only scale."""
    model = small_resnet().double()
    for name, values in model.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            values.zero_()
    return model


def small_transformer(seed: int = 0) -> nn.Module:
    """A `SmallTransformer` of that seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return seeded(SmallTransformer(), seed)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[UnitLayer, ...]]] = {
    "resnet": (small_resnet, RESNET_UNITS),
    "transformer": (small_transformer, TRANSFORMER_UNITS),
}


def images_and_labels(
    n: int = 6, size: int = 16, classes: int = CLASSES, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """Normal noise, (n, 3, size, size), and labels 0, 1, 2, ..."""
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return images, torch.arange(n) % classes


def chain(*modules: nn.Module) -> nn.Sequential:
    """The modules one after another, float64, eval mode."""
    return nn.Sequential(*modules).double().eval()


class FirstThree:
    """A task of three of the network's outputs, in another order."""

    def select(self, logits: Tensor) -> Tensor:
        return logits[:, [2, 0, 1]]


def no_hooks(model: nn.Module) -> bool:
    """Whether a network is free of hooks."""
    return not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
