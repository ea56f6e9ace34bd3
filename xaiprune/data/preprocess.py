"""From a picture to uint8 pixels as a network expects them: timm's evaluation transform, not normalised."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from timm.data import create_transform, str_to_interp_mode
from torchvision import transforms

from xaiprune.config import DataConfig

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """What a network expects of its images.

    Attributes:
        size: Height and width that the network sees, in pixels.
        crop_pct: ``size`` as a fraction of the resized picture, in (0, 1].
        interpolation: ``bilinear``, ``bicubic``, ...
        mean: Subtracted per channel, in 0..1 units of RGB.
        std: Divided by, per channel.
        crop_mode: timm's ``center``, ``squash`` or ``border``.
        resize: Shorter side before a centre crop, in pixels; overrides ``crop_pct`` and ``crop_mode``.
        channels: 3, or 1 for a network that reads grey pictures.
    """

    size: tuple[int, int]
    crop_pct: float
    interpolation: str
    mean: Triple
    std: Triple
    crop_mode: str = "center"
    resize: int | None = None
    channels: int = 3

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel; grey has the average of the three colours'."""
        if self.channels == 3:
            return self.mean, self.std
        return (sum(self.mean) / 3,), (sum(self.std) / 3,)

    def override(self, data: DataConfig) -> "Preprocess":
        """The same, with what ``data.*`` sets."""
        changes: dict[str, Any] = {}
        if data.image_size is not None:
            changes["size"] = (data.image_size, data.image_size)
        for key in ("crop_pct", "interpolation", "resize"):
            if (value := getattr(data, key)) is not None:
                changes[key] = value
        for key in ("mean", "std"):
            if (values := getattr(data, key)) is not None:
                changes[key] = tuple(values)
        return replace(self, **changes)

    def pixels(self) -> Callable[[Image.Image], np.ndarray]:
        """The transform of an RGB picture to (H, W, channels) uint8: what timm does before normalising."""
        mean, std = self.normalisation
        if self.resize is None:
            to_tensor = create_transform(
                (self.channels, *self.size),
                is_training=False,
                use_prefetcher=True,  # makes timm stop at uint8; normalisation is done per batch
                interpolation=self.interpolation,
                mean=mean,
                std=std,
                crop_pct=self.crop_pct,
                crop_mode=self.crop_mode,
            )
        else:
            to_tensor = transforms.Compose(
                [
                    transforms.Resize(self.resize, interpolation=str_to_interp_mode(self.interpolation)),
                    transforms.CenterCrop(self.size),
                    transforms.PILToTensor(),
                ]
            )

        def apply(image: Image.Image) -> np.ndarray:
            image = image if self.channels == 3 else image.convert("L")
            return np.ascontiguousarray(np.asarray(to_tensor(image)).transpose(1, 2, 0))

        return apply

    def geometry(self) -> str:
        """Everything that the uint8 pixels depend on, as text (part of the cache's key)."""
        # Borders are filled with the mean.
        fill = f" fill={self.mean}" if self.crop_mode == "border" else ""
        return (
            f"size={self.size} resize={self.resize} crop={self.crop_pct:.6g} {self.crop_mode} "
            f"{self.interpolation}{fill}{' grey' if self.channels == 1 else ''}"
        )
