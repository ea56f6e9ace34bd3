"""The tables of docs/results/README.md and README.md, written between their markers from the CSV files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.proof.bench import OURS
from benchmarks.proof.cases import CASES, RESULTS
from benchmarks.proof.kept import SEARCHED
from benchmarks.proof.studies import finished
from benchmarks.proof.tables import read
from xaiprune.files import replacing
from xaiprune.report.page.importances import importances as settings_importances
from xaiprune.report.reading import read_trials

PAGES = (RESULTS / "README.md", Path("README.md"))
_MACS = (0.9, 0.8, 0.75)
_MARKED = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refresh() -> None:
    """Write every marked table anew; the text between them is people's."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := rendered(text)) != text:
            with replacing(page) as path:
                path.write_text(new, encoding="utf-8")


def rendered(text: str) -> str:
    """The page's text with its tables as the CSV files have them now."""
    return _MARKED.sub(lambda found: f"{found[1]}{_table(found['name'])}{found[3]}", text)


def _table(name: str) -> str:
    # Names like target-vit_tiny-neurons: the table, and its case.
    kind, _, case = name.partition("-")
    lines = TABLES[kind](case)
    return "\n".join(["", *(lines or ["*Not measured yet.*"]), "", ""])


def headline(_: str) -> list[str]:
    """The searched rate: ours and the strongest of the others, means over the seeds with their range."""
    frame = read("curves")
    if not len(frame):
        return []
    rows = []
    for case in (case for case in CASES.values() if case.name in set(frame.case)):
        own = frame[(frame.case == case.name) & (frame.part == "target")]
        means = own.groupby("method").top1.agg(["mean", "min", "max"])
        presets = own[own.kind == "preset"].groupby("method").top1.mean()
        strongest = str(presets.idxmax())
        cells = [_spread(means.loc[name]) for name in (OURS, "taylor", "integrated_gradients", strongest)]
        cells[-1] += f" ({strongest.removeprefix('LRP ')})"
        seeds = own.seed.nunique()
        dense = _percent(means.loc["dense", "mean"])
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
    return _markdown(head, rows)


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
        cells = [_one(own[own.seed == seed]) for seed in seeds]
        along = curve[(curve.method == row.method) & (curve.rate > 0)]
        mean = (
            ""
            if row.kind == "dense" or not len(along)
            else _percent(along.groupby("rate").top1.mean().mean())
        )
        bold = "**" if row.method == OURS else ""
        rows.append([f"{bold}{row.method}{bold}", *cells, f"{bold}{_percent(row.top1)}{bold}", mean])
    rates = sorted(curve.rate[curve.rate > 0].unique())
    over = f"mean over {rates[0]:g} to {rates[-1]:g}" if rates else "curve"
    return _markdown(["top-1, %", *(f"seed {seed}" for seed in seeds), "mean", over], rows)


def half(_: str) -> list[str]:
    """Ours where the strongest preset has lost half."""
    frame = read("half")
    if not len(frame):
        return []
    stages = dict.fromkeys(stage.name for stages in SEARCHED.values() for stage in stages)
    rows, searches = [], [name for name in stages if (frame.method == name).any()]
    for (case, compensate, seed), part in frame.groupby(["case", "compensate", "seed"], sort=False):
        preset = part[part.kind == "preset"].iloc[0]
        mine = part[part.kind == "ours"].set_index("method").top1
        cells = [_percent(mine[name]) if name in mine else "" for name in searches]
        last = [stage.name for stage in SEARCHED[str(compensate)] if stage.name in mine][-1]
        gain = 100 * (mine[last] - preset.top1)
        strongest = f"{preset.method.removeprefix('LRP ')}: {_interval(preset)}"
        rows.append(
            [CASES[case].title, compensate, str(seed), f"{preset.rate:g}", strongest, *cells, f"{gain:+.1f}"]
        )
    head = ["network", "compensation", "seed", "rate", "strongest preset"]
    return _markdown([*head, *searches, "gain, points"], rows)


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
    return _markdown(["removed, % of the layer", *names], rows)


def dimensions(case: str) -> list[str]:
    """What is lost where one choice of the best found is taken back."""
    frame = _of(read("dimensions"), case)
    if not len(frame):
        return []
    frame = frame[frame.variant != OURS]
    seeds = sorted(frame.seed.unique())
    rows = []
    for variant, part in frame.groupby("variant", sort=False):
        by_seed = part.set_index("seed")
        cells = [_difference(by_seed.loc[seed]) if seed in by_seed.index else "as it is" for seed in seeds]
        rows.append([str(variant), *cells])
    return _markdown(["points, against the best found", *(f"seed {seed}" for seed in seeds)], rows)


def importances(case: str) -> list[str]:
    """What tells the best tenth of the trials from the rest, of the settings that every trial has."""
    columns = {}
    for seed in CASES[case].seeds:
        if (study := finished(CASES[case], seed)) is not None:
            table = settings_importances(read_trials(study, ("scores",)))
            if not isinstance(table, str):
                shared = table[table.trials == table.trials.max()].set_index("parameter")
                columns[f"seed {seed}"] = shared.importance / shared.importance.sum()
    if not columns:
        return []
    frame = pd.DataFrame(columns).fillna(0.0)
    frame = frame.loc[frame.mean(axis=1).sort_values(ascending=False).index]
    rows = [[f"`{name}`", *(f"{share:.2f}" for share in shares)] for name, shares in frame.T.items()]
    return _markdown(["share of importance", *columns], rows)


def references(_: str) -> list[str]:
    """Top-1 by reference images a class, mean over the seeds."""
    frame = read("references")
    if not len(frame):
        return []
    counts = sorted(frame.references.unique())
    rows = []
    for (case, method), part in frame.groupby(["case", "method"], sort=False):
        by_count = part.groupby("references").top1
        cells = [f"{_percent(by_count.mean()[count])}{_range(by_count, count)}" for count in counts]
        rows.append([CASES[case].title, str(method), *cells])
    return _markdown(["top-1, %", "ranking", *(f"{count} a class" for count in counts)], rows)


def kept(_: str) -> list[str]:
    """The highest rate within 95 % of dense."""
    frame = read("kept")
    if not len(frame):
        return []
    rows = []
    for case, part in frame.groupby("case", sort=False):
        by = part.groupby(["method", "compensate"]).rate.agg(["mean", "min", "max"])
        cells = []
        for method in ("taylor", OURS):
            for compensate in ("none", "linear"):
                if (method, compensate) in by.index:
                    mean, low, high = by.loc[(method, compensate)]
                    cells.append(f"{mean:.2f}" + (f" ({low:.2f}–{high:.2f})" if high > low else ""))
                else:
                    cells.append("")
        rows.append([CASES[str(case)].title, _percent(part.dense.iloc[0]), *cells])
    head = ["network", "dense, %", "Taylor", "Taylor, linear", "best found", "best found, linear"]
    return _markdown(head, rows)


def travel(case: str) -> list[str]:
    """Recipes by the draw of references they are used with."""
    frame = _of(read("travel"), case)
    if not len(frame):
        return []
    seeds = sorted(frame.seed.unique())
    rows = []
    for recipe, part in frame.groupby("searched_with", sort=False):
        by_seed = part.set_index("seed").top1
        name = "Taylor" if recipe == "taylor" else f"best of seed {recipe}"
        rows.append([name, *(_percent(by_seed[seed]) if seed in by_seed else "" for seed in seeds)])
    return _markdown(["top-1, %", *(f"references of seed {seed}" for seed in seeds)], rows)


def tasks(_: str) -> list[str]:
    """Recipes of the 1000-way search where ten logits count, mean over the seeds."""
    frame = read("tasks")
    if not len(frame):
        return []
    rates = sorted(frame.rate.unique())
    rows = []
    for (case, method), part in frame.groupby(["case", "method"], sort=False):
        means = part.groupby("rate").top1.mean()
        cells = [_percent(means[rate]) if rate in means else "" for rate in rates]
        rows.append([CASES[case].title, str(method), *cells])
    return _markdown(["top-1 among the ten, %", "ranking", *(f"{rate:g}" for rate in rates)], rows)


def compensation(case: str) -> list[str]:
    """The curve by ranking and compensation, mean over the seeds."""
    frame = _of(read("compensation"), case)
    if not len(frame):
        return []
    rates = sorted(frame.rate.unique())
    rows = []
    for (method, compensate), part in frame.groupby(["method", "compensate"], sort=False):
        means = part.groupby("rate").top1.mean()
        rows.append([str(method), str(compensate), *(_percent(means[rate]) for rate in rates)])
    for method, part in frame.groupby("method", sort=False):
        left = part.groupby("rate").macs.mean()
        rows.append([str(method), "MACs left", *(f"{left[rate]:.2f}" for rate in rates)])
    return _markdown(["top-1, %", "compensation", *(f"{rate:g}" for rate in rates)], rows)


def macs(_: str) -> list[str]:
    """Top-1 at the same multiply-adds, linear between the measured rates; mean over the seeds."""
    frame = read("compensation")
    if not len(frame):
        return []
    rows = []
    for (case, method, compensate), part in frame.groupby(["case", "method", "compensate"], sort=False):
        curve = part.groupby("rate")[["macs", "top1"]].mean().sort_values("macs")
        cells = [_percent(float(np.interp(left, curve.macs, curve.top1))) for left in _MACS]
        rows.append([CASES[str(case)].title, str(method), str(compensate), *cells])
    return _markdown(
        ["top-1, %", "ranking", "compensation", *(f"{left:.0%} of MACs" for left in _MACS)], rows
    )


def explaining(_: str) -> list[str]:
    """Rank correlation of faithfulness with the pruning score."""
    frame = read("explaining")
    if not len(frame):
        return []
    rows = []
    for case, part in frame.groupby("case", sort=False):
        pair = part[["faithfulness", "validation_top1"]].corr(method="spearman").iloc[0, 1]
        prunes, explains = (
            part.loc[part.validation_top1.idxmax()],
            part.loc[part.faithfulness.idxmax()],
        )
        rows.append(
            [
                CASES[str(case)].title,
                str(len(part)),
                f"{pair:.2f}",
                f"{_percent(prunes.validation_top1)} %, {prunes.faithfulness:.2f}",
                f"{_percent(explains.validation_top1)} %, {explains.faithfulness:.2f}",
            ]
        )
    head = [
        "network",
        "trials",
        "Spearman's rho",
        "prunes best: top-1, faithfulness",
        "explains best: the same",
    ]
    return _markdown(head, rows)


TABLES: dict[str, Callable[[str], list[str]]] = {
    "headline": headline,
    "target": target,
    "half": half,
    "layers": layers,
    "dimensions": dimensions,
    "importances": importances,
    "references": references,
    "kept": kept,
    "travel": travel,
    "tasks": tasks,
    "compensation": compensation,
    "macs": macs,
    "explaining": explaining,
}


def _of(frame: pd.DataFrame, case: str) -> pd.DataFrame:
    """The rows of one case."""
    return frame[frame.case == case] if len(frame) else frame


def _one(rows: pd.DataFrame) -> str:
    """A seed's figure with its interval; of several random rankings their mean."""
    if not len(rows):
        return ""
    return _interval(rows.iloc[0]) if len(rows) == 1 else _percent(rows.top1.mean())


def _interval(row: pd.Series) -> str:
    return f"{_percent(row.top1)} [{_percent(row.low)}, {_percent(row.high)}]"


def _spread(row: pd.Series) -> str:
    spread = f" ({_percent(row['min'])} to {_percent(row['max'])})" if row["max"] > row["min"] else ""
    return f"{_percent(row['mean'])}{spread}"


def _range(grouped: pd.core.groupby.SeriesGroupBy, key: object) -> str:
    low, high = grouped.min()[key], grouped.max()[key]
    return f" ({_percent(low)}–{_percent(high)})" if high > low else ""


def _difference(row: pd.Series) -> str:
    return f"{100 * row.difference:+.1f}" + ("" if row.p < 0.05 else " (n.s.)")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
