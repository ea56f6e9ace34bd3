"""What several benchmarks need: where the shared networks and photographs lie, and memory."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from xaiprune.errors import XaipruneError

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("XAIPRUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))


def added_at_peak(work: Callable[[], object]) -> int:
    """Bytes that a computation adds to this process's memory at its peak (Linux)."""
    # ru_maxrss would carry over what the parent held; Linux can start its own high-water mark anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water_mark()
    work()
    return _high_water_mark() - before


def _high_water_mark() -> int:
    """Largest resident size of this process in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def measured(program: str, work: Callable[[], None]) -> int:
    """Do what a program measures, where the shared data are; its exit status, with an error told in a line.

    Args:
        program: Its package's name.
        work: Measures; stopped, it goes on when it is called again.
    """
    if not SHARED.is_dir():
        where = "XAIPRUNE_SHARED_DATA says where the data are"
        print(f"{program}: nothing is measured, {SHARED} is missing; {where}")
        return 0
    try:
        work()
    except XaipruneError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
