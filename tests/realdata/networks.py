"""The commands' overrides for the real networks, as a person would type them."""

from __future__ import annotations

from pathlib import Path

_IMAGENET = ("data.mean=[0.485,0.456,0.406]", "data.std=[0.229,0.224,0.225]")
NETWORKS: dict[str, tuple[str, ...]] = {
    "resnet18": ("model=resnet18", "units=filters"),
    "vit_tiny_patch16_224": ("model=vit_tiny_patch16_224", "units=neurons+heads", "data.crop_pct=1.0"),
    "vgg11_bn_64": (
        "model=vgg11_bn",
        "model.kwargs.num_classes=10",
        "model.kwargs.mlp_ratio=0.125",
        "units=filters",
        "data.image_size=64",
        "data.resize=72",
        "data.interpolation=bicubic",
        *_IMAGENET,
    ),
}


def overrides(name: str, folder: Path, cache: str) -> list[str]:
    """What to type after ``xaiprune search`` for one of `NETWORKS`.

    Args:
        name: Weights file without its suffix.
        folder: The shared data.
        cache: Where decoded images are kept.
    """
    return [
        *NETWORKS[name],
        f"model.checkpoint={folder / 'weights' / name}.safetensors",
        "data=image_folder",
        f"data.root={folder / 'imagenette'}",
        f"data.cache_dir={cache}",
    ]
