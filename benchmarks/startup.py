"""How much processor time a command takes until it has answered: ``python -m benchmarks.startup``.

Each command runs in a process of its own, in turn, so that a neighbour on the machine slows all. Beside the
seconds stands their ratio to ``import torch``, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TYPED = (
    *("--help", "search --help", "studies", "export study.name=NOTHING", "report study.name=NOTHING"),
    *("compare study.name=NOTHING", "prune study.name=NOTHING", "search prune.raet=0.3"),
    "search model=resnet1888",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "python -c pass": ("-c", "pass"),
    "import torch": ("-c", "import torch"),
    **{f"xaiprune {typed}": ("-m", "xaiprune.cli", *typed.split()) for typed in TYPED},
}


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Processor time of one process, user and system."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Processor time of commands until they have answered.")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS.values():
            seconds(command, folder)  # files are compiled, and in the disk's cache
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                taken[name].append(seconds(command, folder))
    torch = np.median(taken["import torch"])
    print(f"{'command':<36} {'CPU s':>6} {'quartiles':>14} {'x torch':>8}")
    for name, times in taken.items():
        low, middle, high = np.percentile(times, (25, 50, 75))
        print(f"{name:<36} {middle:6.2f} {f'{low:.2f} to {high:.2f}':>14} {middle / torch:8.2f}")


if __name__ == "__main__":
    main()
