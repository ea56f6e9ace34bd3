"""Makes the proof on ten classes, part by part; what is there already is not made again.

    python -m benchmarks.proof                                # everything that is missing
    python -m benchmarks.proof studies curves --cases vit_tiny-neurons --seeds 0

Studies lie in studies/proof/, figures and pictures in docs/results/. Without the shared networks and
photographs (XAIPRUNE_SHARED_DATA says where they are) only pictures and page are drawn again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from benchmarks.proof import (
    compensation,
    curves,
    explaining,
    kept,
    layers,
    order,
    page,
    pictures,
    rounds,
    speed,
    travel,
    worth,
)
from benchmarks.proof.cases import CASES, Case
from benchmarks.proof.studies import (
    BALANCE,
    COMPENSATED,
    COMPENSATED_BALANCE,
    COMPENSATED_FINER,
    COMPENSATED_JOINT,
    COMPENSATED_SIGNED,
    DEPTH_GROUPS,
    FINER,
    FURTHER,
    JOINT,
    JOINT_BALANCE,
    SIGNED,
    SIGNED_BALANCE,
    TAYLOR_BALANCE,
    TAYLOR_JOINT,
    Stage,
    run,
)
from benchmarks.search import RESULTS as TRIALS
from benchmarks.search import main as measure_trials
from benchmarks.shared import ROOT, measured
from xaiprune.errors import XaipruneError

Part = Callable[[Case, int], None]


def main() -> int:
    """Parse the command line and make the parts asked for."""
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, help="only these of the case's seeds")
    arguments = parser.parse_args()

    def work() -> None:
        for name in arguments.parts or PARTS:
            for case in (CASES[name] for name in arguments.cases):
                for seed in case.seeds if arguments.seeds is None else arguments.seeds:
                    PARTS[name](case, seed)

    if status := measured("benchmarks.proof", work):
        return status
    pictures.draw()
    page.refresh()
    return 0


def _studies(*stages: Stage) -> Part:
    def part(case: Case, seed: int) -> None:
        for stage in stages:
            run(case, seed, stage)

    return part


def _only_first(part: Part) -> Part:
    """Of a case's seeds the first only."""

    def first(case: Case, seed: int) -> None:
        if seed == case.seeds[0]:
            part(case, seed)

    return first


def _trials(case: Case, seed: int) -> None:
    """What a trial costs, beside the plain way, with racing and without; of all its networks at once."""
    if not TRIALS.is_file() and measure_trials(["--trials", "24", "--write"]):
        raise XaipruneError("trials could not be measured")


PARTS: dict[str, Part] = {
    "studies": _studies(DEPTH_GROUPS),
    "further": _only_first(_studies(*FURTHER)),
    BALANCE.name: _studies(BALANCE),
    TAYLOR_BALANCE.name: _studies(TAYLOR_BALANCE, TAYLOR_JOINT),
    COMPENSATED.name: _studies(COMPENSATED, COMPENSATED_BALANCE),
    FINER.name: _studies(FINER, COMPENSATED_FINER),
    JOINT.name: _studies(JOINT, JOINT_BALANCE),
    SIGNED.name: _studies(SIGNED, SIGNED_BALANCE),
    COMPENSATED_JOINT.name: _studies(COMPENSATED_JOINT),
    COMPENSATED_SIGNED.name: _studies(COMPENSATED_SIGNED),
    curves.NAME: curves.run,
    kept.HALF: kept.run_half,
    layers.NAME: layers.run,
    worth.NAME: worth.run,
    worth.CHOSEN: worth.run_chosen,
    worth.REFERENCES: worth.run_references,
    kept.NAME: kept.run,
    travel.NAME: travel.run,
    travel.CHOSEN: travel.run_chosen,
    travel.TASKS: travel.run_tasks,
    compensation.NAME: compensation.run,
    compensation.SEARCHED_SO: compensation.run_searched,
    order.NAME: order.run,
    rounds.NAME: rounds.run,
    speed.NAME: speed.run,
    "trials": _trials,
    explaining.NAME: _only_first(explaining.run),
    explaining.SIGNED_SUMS: _only_first(explaining.run_signed),
}


if __name__ == "__main__":
    sys.exit(main())
