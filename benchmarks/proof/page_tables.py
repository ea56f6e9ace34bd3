"""What each part has measured, as the tables of the page: a function a table, lines of Markdown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.proof.cases import CASES
from benchmarks.proof.compensation import curves as compensation_curves
from benchmarks.proof.explaining import measured as explained_trials
from benchmarks.proof.kept import SEARCH, SEARCHED, SIGNED_PRESET, best_of
from benchmarks.proof.markdown import difference, figure, interval, percent, spread, table
from benchmarks.proof.rankings import OURS, TAYLOR
from benchmarks.proof.speed import BATCHES
from benchmarks.proof.studies import COMPENSATED_JOINT, STAGES, finished
from benchmarks.proof.tables import read
from xaiprune.report.page.importances import importances as settings_importances
from xaiprune.report.reading import read_trials

_MACS = (0.9, 0.8, 0.75)


def headline(_: str) -> list[str]:
    """The searched rate: ours and the strongest of the others, means over the seeds with their range."""
    frame = read("curves")
    if not len(frame):
        return []
    rows = []
    for case in (case for case in CASES.values() if case.name in set(frame.case)):
        own = frame[(frame.case == case.name) & (frame.part == "target")]
        by = {method: part.top1 for method, part in own.groupby("method")}
        presets = own[own.kind == "preset"].groupby("method").top1.mean()
        strongest = str(presets.idxmax())
        cells = [spread(by[name]) for name in (OURS, "taylor", "integrated_gradients", strongest)]
        cells[-1] += f" ({strongest.removeprefix('LRP ')})"
        seeds = own.seed.nunique()
        dense = percent(by["dense"].mean())
        rows.append(
            [f"{case.title}, {case.rate:.0%} removed", str(seeds), dense, f"**{cells[0]}**", *cells[1:]]
        )
    head = [
        "top-1, %",
        "seeds",
        "dense",
        "best found",
        "Taylor",
        "integrated gradients",
        "strongest LRP preset",
    ]
    return table(head, rows)


def target(case: str) -> list[str]:
    """Every method at the searched rate, seed by seed, and the mean of its curve."""
    frame = _of(read("curves"), case)
    if not len(frame):
        return []
    at_target, curve = frame[frame.part == "target"], frame[frame.part == "curve"]
    seeds = sorted(frame.seed.unique())
    order = {"dense": 0, "best": 1, "preset": 2, "criterion": 2, "random": 3}
    means = at_target.groupby(["method", "kind"], sort=False).top1.mean().reset_index()
    means["order"] = means.kind.map(order)
    # What searches found in the order of the searches, the others by how good they are.
    means["rank"] = [
        0.0 if kind == "best" else -top1 for kind, top1 in zip(means.kind, means.top1, strict=True)
    ]
    means = means.sort_values(["order", "rank"], kind="stable")
    rows = []
    for _, row in means.iterrows():
        own = at_target[at_target.method == row.method]
        cells = [figure(own[own.seed == seed]) for seed in seeds]
        along = curve[(curve.method == row.method) & (curve.rate > 0)]
        mean = (
            "" if row.kind == "dense" or not len(along) else percent(along.groupby("rate").top1.mean().mean())
        )
        bold = "**" if row.method == OURS else ""
        rows.append([f"{bold}{row.method}{bold}", *cells, f"{bold}{percent(row.top1)}{bold}", mean])
    rates = sorted(curve.rate[curve.rate > 0].unique())
    over = f"mean over {rates[0]:g} to {rates[-1]:g}" if rates else "curve"
    return table(["top-1, %", *(f"seed {seed}" for seed in seeds), "mean", over], rows)


def half(compensate: str) -> list[str]:
    """Ours where the strongest preset has lost half, under one compensation."""
    frame = read("half")
    if not len(frame) or not len(frame := frame[frame.compensate == compensate]):
        return []
    rows, searches = [], [s.name for s in SEARCHED[compensate] if (frame.method == s.name).any()]
    for (case, seed), part in frame.groupby(["case", "seed"], sort=False):
        preset = part[part.kind == "preset"].iloc[0]
        mine = part[part.kind == "ours"].set_index("method").top1
        cells = [percent(mine[name]) if name in mine else "" for name in searches]
        chosen = best_of(part)
        cells[searches.index(chosen)] = f"**{percent(mine[chosen])}**"
        joint, signed = part[part.kind == "joint"], part[part.kind == SIGNED_PRESET]
        named = [f"{row.method.partition(',')[0]}: {percent(row.top1)}" for row in signed.itertuples()]
        cells = [*(map(percent, joint.top1) if len(joint) else [""]), *(named or [""]), *cells]
        gain = 100 * (mine[chosen] - preset.top1)
        strongest = f"{preset.method.removeprefix('LRP ')}: {interval(preset)}"
        title = CASES[case].title.partition(",")[0]
        rows.append([title, str(seed), f"{preset.rate:g}", strongest, *cells, f"{gain:+.1f}"])
    head = [
        "network",
        "seed",
        "rate",
        "strongest preset",
        "it in the joint order",
        "presets, signed, `joint`",
    ]
    return table([*head, *searches, "gain, points"], rows)


def layers(case: str) -> list[str]:
    """Units that each layer loses, mean over the seeds, and how much the two rankings agree."""
    frame = _of(read("layers"), case)
    if not len(frame):
        return []
    sizes = frame.groupby("layer", sort=False).units.first()
    rows = []
    for method, part in frame.groupby("method", sort=False):
        removed = part.groupby("layer", sort=False).removed.mean()
        rows.append([str(method), *(f"{100 * removed[name] / sizes[name]:.0f}" for name in sizes.index)])
    shared = frame[frame.method == OURS].groupby("layer", sort=False)[["shared", "removed"]].sum()
    both = [f"{100 * row.shared / row.removed:.0f}" if row.removed else "" for row in shared.itertuples()]
    rows.append(["of ours, Taylor removes, too", *both])
    names = [str(name).replace("blocks.", "").replace(".mlp.fc1", "") for name in sizes.index]
    return table(["removed, % of the layer", *names], rows)


def dimensions(case: str, name: str = "dimensions") -> list[str]:
    """What is lost where one choice of the best found is taken back."""
    frame = _of(read(name), case)
    if not len(frame):
        return []
    frame = frame[~frame.variant.isin([stage.name for stage in STAGES])]  # what was found itself
    seeds = sorted(frame.seed.unique())
    rows = []
    for variant, part in frame.groupby("variant", sort=False):
        by_seed = part.set_index("seed")
        cells = [difference(by_seed.loc[seed]) if seed in by_seed.index else "as it is" for seed in seeds]
        rows.append([str(variant), *cells])
    return table(["points, against the best found", *(f"seed {seed}" for seed in seeds)], rows)


def importances(case: str) -> list[str]:
    """What tells the best tenth of the trials from the rest, of the settings that every trial has."""
    columns = {}
    for seed in CASES[case].seeds:
        if (study := finished(CASES[case], seed)) is not None:
            found = settings_importances(read_trials(study, ("scores",)))
            if not isinstance(found, str):
                shared = found[found.trials == found.trials.max()].set_index("parameter")
                columns[f"seed {seed}"] = shared.importance / shared.importance.sum()
    if not columns:
        return []
    frame = pd.DataFrame(columns).fillna(0.0)
    frame = frame.loc[frame.mean(axis=1).sort_values(ascending=False).index]
    rows = [[f"`{name}`", *(f"{share:.2f}" for share in shares)] for name, shares in frame.T.items()]
    return table(["share of importance", *columns], rows)


def references(_: str) -> list[str]:
    """Top-1 by reference images a class, mean over the seeds."""
    frame = read("references")
    if not len(frame):
        return []
    counts = sorted(frame.references.unique())
    rows = []
    for (case, method), part in frame.groupby(["case", "method"], sort=False):
        cells = [spread(part.top1[part.references == count]) for count in counts]
        rows.append([CASES[case].title, str(method), *cells])
    return table(["top-1, %", "ranking", *(f"{count} a class" for count in counts)], rows)


def kept(_: str) -> list[str]:
    """The highest rate within 95 % of dense."""
    frame = read("kept")
    if not len(frame):
        return []
    columns = {
        "Taylor, `score`": (TAYLOR, ("score",)),
        "Taylor, `joint`": (TAYLOR, ("joint",)),
        "best found": (OURS, ("score",)),
        "best search where half is lost": (SEARCH, ("score", "joint")),
    }
    rows = []
    for case, part in frame.groupby("case", sort=False):
        for compensate in ("none", "linear"):
            cells = []
            for kind, orders in columns.values():
                own = part[(part.compensate == compensate) & (part.kind == kind) & part.order.isin(orders)]
                low, mean, high = own.rate.min(), own.rate.mean(), own.rate.max()
                span = f" ({low:.2f}–{high:.2f})" if high > low else ""
                cells.append(f"{mean:.2f}{span}" if len(own) else "")
            rows.append([CASES[str(case)].title, percent(part.dense.iloc[0]), compensate, *cells])
    return table(["network", "dense, %", "compensation", *columns], rows)


def travel(case: str, name: str = "travel") -> list[str]:
    """Recipes by the draw of references they are used with."""
    frame = _of(read(name), case)
    if not len(frame):
        return []
    seeds = sorted(frame.seed.unique())
    rows = []
    for recipe, part in frame.groupby("searched_with", sort=False):
        by_seed = part.set_index("seed").top1
        title = "Taylor" if recipe == TAYLOR else f"best of seed {recipe}"
        rows.append([title, *(percent(by_seed[seed]) if seed in by_seed else "" for seed in seeds)])
    return table(["top-1, %", *(f"references of seed {seed}" for seed in seeds)], rows)


def tasks(_: str) -> list[str]:
    """Recipes of the 1000-way search where ten logits count, mean over the seeds."""
    frame = read("tasks")
    if not len(frame):
        return []
    rates = sorted(frame.rate.unique())
    rows = []
    for (case, method), part in frame.groupby(["case", "method"], sort=False):
        means = part.groupby("rate").top1.mean()
        cells = [percent(means[rate]) if rate in means else "" for rate in rates]
        rows.append([CASES[case].title, str(method), *cells])
    return table(["top-1 among the ten, %", "ranking", *(f"{rate:g}" for rate in rates)], rows)


def compensation(case: str) -> list[str]:
    """The curve by ranking and compensation, mean over the seeds."""
    frame = _of(compensation_curves(), case)
    if not len(frame):
        return []
    rates = sorted(frame.rate.unique())
    rows = []
    for (method, compensate), part in frame.groupby(["method", "compensate"], sort=False):
        means = part.groupby("rate").top1.mean()
        rows.append([str(method), str(compensate), *(percent(means[rate]) for rate in rates)])
    for method, part in frame.groupby("method", sort=False):
        left = part.groupby("rate").macs.mean()
        rows.append([str(method), "MACs left", *(f"{left[rate]:.2f}" for rate in rates)])
    return table(["top-1, %", "compensation", *(f"{rate:g}" for rate in rates)], rows)


def macs(_: str) -> list[str]:
    """Top-1 at the same multiply-adds, linear between the measured rates; mean over the seeds."""
    frame = compensation_curves()
    if not len(frame):
        return []
    rows = []
    for (case, method, compensate), part in frame.groupby(["case", "method", "compensate"], sort=False):
        curve = part.groupby("rate")[["macs", "top1"]].mean().sort_values("macs")
        cells = [percent(float(np.interp(left, curve.macs, curve.top1))) for left in _MACS]
        rows.append([CASES[str(case)].title, str(method), str(compensate), *cells])
    return table(["top-1, %", "ranking", "compensation", *(f"{left:.0%} of MACs" for left in _MACS)], rows)


def speed(_: str) -> list[str]:
    """What is left of the dense network's size and time."""
    frame = read("speed")
    if not len(frame):
        return []
    rows = []
    for row in frame.itertuples():
        times = [
            f"{getattr(row, f'batch{batch}'):.2f} "
            f"({getattr(row, f'batch{batch}_low'):.2f}–{getattr(row, f'batch{batch}_high'):.2f})"
            for batch in BATCHES
        ]
        made = [CASES[str(row.case)].title, str(row.method), f"{row.rate:g}"]
        rows.append([*made, f"{row.params:.2f}", f"{row.macs:.2f}", *times])
    head = ["of the dense network", "ranking", "rate", "parameters", "MACs"]
    return table([*head, *(f"latency, batch {batch}" for batch in BATCHES)], rows)


def order(_: str) -> list[str]:
    """In either order, with and without compensation, mean over the seeds."""
    frame = read("order")
    if not len(frame):
        return []
    columns = [(how, order) for how in ("none", "linear") for order in ("score", "joint")]
    # Seeds differ in which search was the best: rows go by what it was searched for.
    searches = [stage for stage in STAGES if stage.name not in (OURS, COMPENSATED_JOINT.name)]
    best = {s.name: f"best search, {'linear' if s.compensated else 'none'}" for s in searches}
    frame = frame.assign(method=frame.method.replace(best))
    rows = []
    for (case, method), part in frame.groupby(["case", "method"], sort=False):
        by = {key: own.top1 for key, own in part.groupby(["compensate", "order"])}
        cells = [spread(by[key]) if key in by else "" for key in columns]
        rows.append([f"{CASES[str(case)].title}, {part.rate.iloc[0]:.0%}", str(method), *cells])
    names = [f"{how}, `{order}`" for how, order in columns]
    return table(["top-1, %", "ranking", *names], rows)


def rounds(_: str) -> list[str]:
    """Ranked once or in rounds, where the strongest preset has lost half."""
    frame = read("rounds")
    if not len(frame):
        return []
    counts, rows = sorted(frame.rounds.unique()), []
    for (case, compensate, seed, method), part in frame.groupby(
        ["case", "compensate", "seed", "method"], sort=False
    ):
        by_count = part.set_index("rounds")
        cells = [interval(by_count.loc[count]) for count in counts]
        rate = f"{part.rate.iloc[0]:g}"
        rows.append([CASES[str(case)].title, str(compensate), str(seed), rate, str(method), *cells])
    head = ["network", "compensation", "seed", "rate", "ranking"]
    return table([*head, *(f"{count} rounds" if count > 1 else "ranked once" for count in counts)], rows)


def explaining(_: str) -> list[str]:
    """Rank correlation of faithfulness with the pruning score."""
    frame = explained_trials()
    if not len(frame):
        return []
    rows = []
    for (case, search), part in frame.groupby(["case", "space"], sort=False):
        pair = part[["faithfulness", "validation_top1"]].corr(method="spearman").iloc[0, 1]
        prunes, explains = (
            part.loc[part.validation_top1.idxmax()],
            part.loc[part.faithfulness.idxmax()],
        )
        rows.append(
            [
                CASES[str(case)].title,
                str(search),
                str(len(part)),
                f"{pair:.2f}",
                f"{percent(prunes.validation_top1)} %, {prunes.faithfulness:.2f}",
                f"{percent(explains.validation_top1)} %, {explains.faithfulness:.2f}",
            ]
        )
    head = [
        "network",
        "search",
        "trials",
        "Spearman's rho",
        "prunes best: top-1, faithfulness",
        "explains best: the same",
    ]
    return table(head, rows)


def _of(frame: pd.DataFrame, case: str) -> pd.DataFrame:
    """The rows of one case."""
    return frame[frame.case == case] if len(frame) else frame


TABLES: dict[str, Callable[[str], list[str]]] = {
    "headline": headline,
    "target": target,
    "half": half,
    "layers": layers,
    "dimensions": dimensions,
    "dimensions_chosen": partial(dimensions, name="dimensions_chosen"),
    "importances": importances,
    "references": references,
    "kept": kept,
    "travel": travel,
    "travel_chosen": partial(travel, name="travel_chosen"),
    "tasks": tasks,
    "compensation": compensation,
    "macs": macs,
    "order": order,
    "rounds": rounds,
    "speed": speed,
    "explaining": explaining,
}
