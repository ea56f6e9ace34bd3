"""Heatmaps as a picture: each image, and its relevance in one or several networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from xaiprune.files import replacing


def draw_heatmaps(
    pixels: np.ndarray,
    captions: Sequence[str],
    relevance: Mapping[str, Tensor],
    path: Path,
    *,
    across: bool = False,
) -> Path:
    """Draw a row (or column) an image: the image and its heatmap in each network.

    Red is relevance for the class and blue against it; each heatmap has its own scale, symmetric around zero.

    Args:
        pixels: (N, H, W, 3) uint8.
        captions: (N,) the class that is explained in each image.
        relevance: Name of a network -> (N, H, W).
        path: The file to write; on an error it stays as it was.
        across: Images side by side, for a page; else one below the other.
    """
    images, maps = len(pixels), 1 + len(relevance)
    rows, columns = (maps, images) if across else (images, maps)
    figure = Figure(figsize=(1.9 * columns, 2.05 * rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    cells = grid.T if across else grid  # one row for each image
    for image in range(images):
        cells[image, 0].imshow(pixels[image])
        cells[image, 0].set_title(captions[image], fontsize=8)
        for place, (network, found) in enumerate(relevance.items(), start=1):
            _draw(cells[image, place], found[image].numpy())
            if image == 0:
                cells[image, place].set_title(network, fontsize=8, loc="left" if across else "center")
    for axes in grid.flat:
        axes.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def _draw(axes: Axes, heatmap: np.ndarray) -> None:
    # The 99.5th percentile: the maximum may be a single pixel, beside which all others look white.
    limit = float(np.quantile(np.abs(heatmap), 0.995)) or 1.0
    axes.imshow(heatmap, cmap="seismic", vmin=-limit, vmax=limit, interpolation="nearest")
