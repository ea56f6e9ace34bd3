"""Makes the proof on all classes, part by part; what is there already is not made again.

    python -m benchmarks.wide                                        # everything that is missing
    python -m benchmarks.wide curves --cases resnet18 --seeds 0

Studies lie in studies/wide/, figures and pictures in docs/results/wide/. Without the shared networks and
photographs (XAIPRUNE_SHARED_DATA says where they are) only pictures and pages are drawn again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from benchmarks.shared import ROOT, measured
from benchmarks.wide import best, curves, page, pictures, references, searches
from benchmarks.wide.cases import CASES, SEEDS, Case

PARTS: dict[str, Callable[[Case, int], None]] = {
    **{
        stage.name: lambda case, seed, stage=stage: searches.run(case, seed, stage)
        for stage in searches.STAGES
    },
    curves.NAME: curves.run,
    references.NAME: references.run,
}


def main() -> int:
    """Parse the command line and make the parts asked for."""
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    arguments = parser.parse_args()

    def work() -> None:
        for seed in arguments.seeds:
            for case in (CASES[name] for name in arguments.cases):
                for name in arguments.parts or PARTS:
                    PARTS[name](case, seed)

    if status := measured("benchmarks.wide", work):
        return status
    best.publish()
    pictures.draw()
    page.refresh()
    return 0


if __name__ == "__main__":
    sys.exit(main())
