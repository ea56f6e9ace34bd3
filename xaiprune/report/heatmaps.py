"""Heatmaps of test images before and after pruning, with what each network says of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from torch import Tensor, nn

from xaiprune.attribution import heatmaps
from xaiprune.data.imagenet_labels import class_name
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.forward import logits
from xaiprune.pruning import Plan, masked
from xaiprune.recipe import Recipe
from xaiprune.report.palette import BEST
from xaiprune.session import PruningSession

_COLOURS, _TICKS, _WIDTH = "seismic", (-1.0, -0.25, 0.0, 0.25, 1.0), 22  # letters in a line


@dataclass(frozen=True)
class Explained:
    """What one network makes of the images.

    Attributes:
        relevance: (N, H, W), of the pixels for the images' own classes.
        confidence: (N, classes), the softmax over the task's logits.
    """

    relevance: Tensor
    confidence: Tensor


def write_heatmaps(
    session: PruningSession,
    recipe: Recipe,
    plan: Plan,
    path: Path,
    *,
    count: int,
    smaller: nn.Module | None = None,
    across: bool = False,
) -> Path:
    """Draw test images, spread over the classes, and their heatmaps before and after pruning.

    Args:
        session: Under the ``prune`` settings that the plan is applied with.
        recipe: Its composite and its start explain.
        plan: What is removed.
        path: The file to write; on an error it stays as it was.
        count: Images, at most.
        smaller: The pruned network, if it is there.
        across: Images side by side, for a page; else one below the other.

    Raises:
        XaipruneError: Relevance is not finite.
    """
    shown, task = session.dataset.test.spread(count), session.task
    images, labels = shown.tensor(device=session.device), shown.labels.to(session.device)

    def explained(model: nn.Module) -> Explained:
        found = heatmaps(model, images, labels, recipe.composite, task=task, start=recipe.start)
        if not found.isfinite().all():
            raise XaipruneError("relevance of the pixels is not finite")
        with torch.inference_mode():
            answers = torch.cat([logits(model, batch) for batch in images.split(session.batch.forward)])
        return Explained(found, task.select(answers).float().softmax(1).cpu())

    networks = {"dense": explained(session.model)}
    removed = f"{100 * plan.n_removed / plan.n_units:.0f} % of {session.unit_kind} removed"
    if session.only_removes:
        # The same answers, also where a layer of the smaller network is one that LRP does not know.
        with masked(session.model, plan, session.units):
            networks[removed] = explained(session.model)
    else:
        networks[removed] = explained(session.remove(plan).model if smaller is None else smaller)
    names = [class_name(name) for name in task.classes]
    return draw_heatmaps(shown.pictures(), shown.labels, names, networks, path, across=across)


def draw_heatmaps(
    pixels: np.ndarray,
    labels: Tensor,
    classes: Sequence[str],
    networks: Mapping[str, Explained],
    path: Path,
    *,
    across: bool = False,
) -> Path:
    """Draw a row (or column) an image: the image, and its heatmap and top-1 class in each network.

    Red is relevance for the image's class and blue against it. Each heatmap is divided by its largest
    absolute value, so that nothing is cut off; colours follow the square root, so that what is small can be
    seen, too.

    Args:
        pixels: (N, H, W, 3) uint8.
        labels: (N,) each image's class, which is explained.
        classes: Their names.
        networks: Name -> what it makes of the images.
        path: The file to write; on an error it stays as it was.
        across: Images side by side, for a page; else one below the other.
    """
    rows, columns = (1 + len(networks), len(pixels)) if across else (len(pixels), 1 + len(networks))
    figure = Figure(figsize=(max(7.0, 1.9 * columns), 2.2 * rows + 0.7), dpi=130)
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    names = ("image", *networks)
    cells = grid.T if across else grid  # one row for each image
    # Not one power: numpy's of a negative number is none.
    scale = FuncNorm((lambda r: np.sign(r) * np.sqrt(np.abs(r)), lambda c: c * np.abs(c)), vmin=-1, vmax=1)
    for image, label in enumerate(labels.tolist()):
        captions, wrong = [_wrapped(classes[label])], [False]
        cells[image, 0].imshow(pixels[image])
        for axes, found in zip(cells[image, 1:], networks.values(), strict=True):
            heatmap, confidence = found.relevance[image].numpy(), found.confidence[image]
            largest, answer = float(np.abs(heatmap).max()) or 1.0, int(confidence.argmax())
            axes.imshow(heatmap / largest, cmap=_COLOURS, norm=scale, interpolation="nearest")
            captions.append(f"{_wrapped(classes[answer])}, {100 * float(confidence[answer]):.0f} %")
            wrong.append(answer != label)
        for axes, name, caption, orange in zip(cells[image], names, captions, wrong, strict=True):
            above = "" if across or image else f"{name}\n"
            axes.set_title(above + caption, fontsize=8, color=BEST if orange else "black")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    if across:
        for axes, name in zip(grid[:, 0], names, strict=True):
            axes.set_ylabel(name, fontsize=9)
    bar = figure.colorbar(
        ScalarMappable(scale, _COLOURS), ax=grid, ticks=_TICKS, format=lambda part, _: f"{100 * part:g} %",
        location="bottom", fraction=0.1 / rows, pad=0.03 / rows, aspect=12 * columns, shrink=0.95,
    )  # fmt: skip
    bar.ax.tick_params(labelsize=8)
    bar.set_label(
        "relevance for the image's class, as part of the largest in each heatmap; colours by square root\n"
        "above each heatmap: the network's answer and its confidence, in orange where it is wrong",
        fontsize=8,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, _WIDTH))
