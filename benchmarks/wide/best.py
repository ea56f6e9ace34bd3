"""The best recipes found, where people look for them: ``studies/best/``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.proof.markdown import interval, percent, table
from benchmarks.proof.tables import read
from benchmarks.wide.cases import CASES, RESULTS, Case
from benchmarks.wide.curves import NAME as CURVES
from benchmarks.wide.methods import OURS
from benchmarks.wide.searches import FOUND, MACS_LEFT, best_file
from xaiprune.files import replacing
from xaiprune.recipe import AUTO

FOLDER = Path("studies", "best")
SEED = 0


def file_of(case: Case) -> Path:
    """The published recipe of a case."""
    return FOLDER / f"{case.name}-{MACS_LEFT:g}-macs.yaml"


def publish() -> None:
    """Copy the best recipe of every case whose searches are finished."""
    for case in CASES.values():
        if (found := best_file(case, SEED)) is not None:
            with replacing(file_of(case)) as path:
                path.write_bytes(found.read_bytes())


def rows(_: str) -> list[str]:
    """What the published recipes keep on the test images, at the MACs for which they were searched."""
    frame = read(CURVES, RESULTS)
    lines = []
    for case in CASES.values():
        own = frame[(frame.case == case.name) & (frame.seed == SEED)] if len(frame) else frame
        at = own[own.left == MACS_LEFT].set_index("method") if len(own) else own
        if FOUND not in at.index:
            continue
        others = at[~at.index.isin(OURS)]
        strongest = str(others.top1.idxmax())
        name = file_of(case).name
        lines.append(
            [
                f"[{name}]({name})",
                case.title,
                percent(own[own.method == "dense"].top1.iloc[0]),
                *(interval(at.loc[method]) for method in (FOUND, AUTO)),
                f"{interval(at.loc[strongest])} ({strongest})",
            ]
        )
    head = ["file", "network", "dense", "this recipe", "auto", "strongest other"]
    return table(head, lines) if lines else []
