"""Draws the pictures of docs/how-it-works.md with the program itself, on the handwritten digits.

    python docs/images/make.py            # about two minutes on two cores

Everything is measured while this runs: the digits ResNet, one search at 70 % of its filters removed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import xaiprune as xp
from xaiprune.report import trials

FOLDER = Path(__file__).parent
RATE = 0.7
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7A7A7A"
RULES = {"gradient": "#999999", "epsilon": BLUE, "gamma": ORANGE, "zplus": GREEN, "alphabeta": "#CC79A7"}


def main() -> int:
    """Search once, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=52)
    trials_wanted = parser.parse_args().trials
    torch.set_num_threads(1)
    model = xp.load_model("digits_resnet")
    data = xp.load_data("digits", model)
    draw_heatmaps()
    with tempfile.TemporaryDirectory() as folder:
        config = xp.compose(
            "search",
            [
                "experiment=digits_resnet",
                f"prune.rate={RATE}",
                "study.name=pictures",
                f"study.n_trials={trials_wanted}",
                f"study.storage=sqlite:///{folder}/pictures.db",
                f"output_dir={folder}",
            ],
        )
        study = xp.search(config)
        draw_study(study, len(data.validation))
        draw_plan(model, data, study)
    return 0


def draw_heatmaps() -> None:
    """Four digits, and where the right logit comes from under four rules.

    Of the VGG: the ResNet's shortcuts read every second pixel only, so that its maps are grids.
    """
    model = xp.load_model("digits_vgg")
    data = xp.load_data("digits", model)
    chosen = [int((data.test.labels == digit).nonzero()[1]) for digit in (2, 3, 5, 8)]
    images, labels = data.test.tensor(chosen), data.test.labels[chosen]
    gamma = xp.Composite(default=xp.make_rule("gamma", gamma=0.25))
    columns = {
        "gradient (Taylor)": xp.PRESETS["taylor"].composite,
        "epsilon": xp.PRESETS["epsilon"].composite,
        "gamma": gamma,
        "zplus": xp.PRESETS["zplus"].composite,
    }
    figure, grid = canvas(4, 5, (6.4, 5.2))
    for row, index in enumerate(chosen):
        grid[row, 0].imshow(data.test.pixels[index])
    grid[0, 0].set_title("image", fontsize=9)
    for column, (name, composite) in enumerate(columns.items(), start=1):
        maps = xp.heatmaps(model, images, labels, composite, task=data.task).numpy()
        for row, relevance in enumerate(maps):
            limit = float(np.quantile(np.abs(relevance), 0.995)) or 1.0
            grid[row, column].imshow(relevance, cmap="seismic", vmin=-limit, vmax=limit)
        grid[0, column].set_title(name, fontsize=9)
    for axes in grid.flat:
        axes.set_axis_off()
    save(figure, "heatmaps.png")


def draw_plan(model: torch.nn.Module, data, study) -> None:  # type: ignore[no-untyped-def]
    """Scores of all units with the cut, and the part of each layer that stays."""
    recipe = xp.recipe_of(xp.best_trial(study))
    units = xp.find_units(model, "filters")
    relevance = xp.attribute(
        model,
        data.reference.tensor(),
        data.reference.labels,
        units,
        recipe.composite,
        task=data.task,
        start=recipe.start,
    )
    scores = xp.aggregate(relevance, recipe.aggregation)
    plan = xp.make_plan(scores, units, RATE)
    figure, grid = canvas(1, 2, (9.6, 4.0), width_ratios=[1, 1.25])
    left, right = grid[0]
    ordered = torch.cat(list(scores.values())).sort().values.clamp_min(1e-12)
    cut = plan.n_removed
    places = np.arange(len(ordered))
    left.fill_between(places[:cut], ordered[:cut], 1e-12, color=ORANGE, alpha=0.35, lw=0, label="go")
    left.fill_between(places[cut:], ordered[cut:], 1e-12, color=BLUE, alpha=0.35, lw=0, label="stay")
    floor = float(ordered[ordered > 1e-12].min())
    left.set(yscale="log", xlim=(0, len(ordered)), ylim=(floor, float(ordered[-1]) * 2))
    left.set(xlabel=f"{plan.n_units} filters, lowest score first", ylabel="score")
    left.legend(frameon=False, loc="upper left")
    names = list(plan.totals)
    kept = [1 - len(plan.removed[name]) / plan.totals[name] for name in names]
    right.barh(names, kept, color=BLUE, alpha=0.7)
    right.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="part of the layer that stays")
    right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.tick_params(axis="y", labelsize=7)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, "plan.png")


def draw_study(study, images: int) -> None:  # type: ignore[no-untyped-def]
    """Values as the trials came, and what the best of them chose in each depth group."""
    frame = trials(study)
    figure, grid = canvas(1, 2, (9.6, 3.6), width_ratios=[1.6, 1])
    left, right = grid[0]
    preset = frame["preset"].notna()
    left.plot(frame.number[preset], frame.value[preset], "o", color=BLUE, ms=5, label="presets")
    left.plot(
        frame.number[~preset], frame.value[~preset], "o", color=ORANGE, ms=5, alpha=0.7, label="sampler"
    )
    left.step(frame.number, frame.best, where="post", color=GREY, lw=1.2, label="best so far")
    left.axhline(0.1, color="black", lw=1, ls=":")
    left.set(xlabel="trial", ylabel=f"top-1 on {images} validation images", ylim=(0, None))
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    strip(right, study, frame)
    left.spines[["top", "right"]].set_visible(False)
    save(figure, "study.png")


def strip(axes: Axes, study, frame) -> None:  # type: ignore[no-untyped-def]
    """One line a trial, the best on top; one cell a depth group, coloured by its rule."""
    groups = ["low", "mid", "high", "classifier"]
    best = frame[frame["preset"].isna()].nlargest(12, "value")
    for row, (_, trial) in enumerate(best.iterrows()):
        for column, group in enumerate(groups):
            rule = trial[f"{group}.rule"]
            axes.barh(row, 0.94, left=column, height=0.86, color=RULES[rule])
        axes.text(4.1, row, f"{100 * trial.value:.0f} %", va="center", fontsize=8)
    axes.set(xlim=(0, 4.6), xticks=[0.47, 1.47, 2.47, 3.47], yticks=[])
    axes.set_xticklabels(groups, fontsize=9)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    handles = [axes.barh(0, 0, color=color, label=rule) for rule, color in RULES.items()]
    axes.legend(
        handles=handles, frameon=False, ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.45, 1.0)
    )


def canvas(
    rows: int, columns: int, size: tuple[float, float], **grid: list[float]
) -> tuple[Figure, np.ndarray]:
    """A figure without pyplot, and its axes."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def save(figure: Figure, name: str) -> None:
    """Write the picture, and say so."""
    figure.savefig(FOLDER / name)
    print(f"{FOLDER / name}  {(FOLDER / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
