"""A comparison with made-up figures, in the shape that the real one has."""

import numpy as np
import pandas as pd

from xaiprune.comparison.table import COLUMNS, Comparison

RATES = np.round(np.arange(10) / 10, 1)
_FALL = {"best found": 0.75, "LRP epsilon": 0.45, "LRP zplus": 0.25, "taylor": 0.55, "magnitude_l1": 0.2}


def comparison(*, rate: float = 0.5, curve_images: int = 200, test_images: int = 200) -> Comparison:
    """Five methods and three random rankings whose accuracy falls from 95 % to 10 % around their own rate."""
    rows = [_row("dense", "dense", "target", 0.0, 0.95, test_images)]
    kinds = {"best found": "best", "taylor": "criterion", "magnitude_l1": "criterion"}
    for method, middle in _FALL.items():
        rows += _rows(method, kinds.get(method, "preset"), middle, rate, curve_images, test_images)
    for seed in range(3):
        rows += _rows("random", "random", 0.1 + 0.03 * seed, rate, curve_images, test_images, seed)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})
    return Comparison(
        frame,
        "digits_resnet",
        "filters",
        432,
        rate,
        0.1,
        test_images,
        curve_images,
        {"LRP odd": "not finite"},
    )


def _rows(
    method: str,
    kind: str,
    middle: float,
    rate: float,
    curve_images: int,
    test_images: int,
    seed: int | None = None,
) -> list[dict[str, object]]:
    def top1(at: float) -> float:
        return float(0.1 + 0.85 / (1 + np.exp(12 * (at - middle))))

    return [
        _row(method, kind, "target", rate, top1(rate), test_images, seed),
        *(_row(method, kind, "curve", at, top1(at), curve_images, seed) for at in RATES),
    ]


def _row(
    method: str, kind: str, part: str, rate: float, top1: float, total: int, seed: int | None = None
) -> dict[str, object]:
    correct = round(top1 * total)
    return {
        "method": method,
        "kind": kind,
        "part": part,
        "rate": rate,
        "top1": correct / total,
        "low": max(0.0, correct / total - 0.05),
        "high": min(1.0, correct / total + 0.05),
        "correct": correct,
        "total": total,
        "seed": seed,
        "macs": 1 - 0.8 * rate,
        "params": 1 - 0.9 * rate,
    }
