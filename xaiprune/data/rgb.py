"""Any picture as RGB of 8 bits a channel."""

import numpy as np
from PIL import Image


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB.

    Pillow's own conversion cuts grey values of 16 bits off at 255, which makes nearly everything white.

    Args:
        image: An opened picture.

    Raises:
        OSError: Its grey values have no range (32 bits, or fractions), so that nobody knows what is white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        grey = (np.asarray(image).astype(np.float64) / 257).round()  # 65535 becomes 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise OSError(f"grey values of mode {image.mode} have no range; save it with 8 or 16 bits")
    return image.convert("RGB")
