"""How much processor time a command takes before it has answered: ``python -m benchmarks.startup``.

Each command runs in a process of its own, in turn, so that a neighbour on the machine slows all. Beside the
seconds stands their ratio to what Python itself takes to start (``python -c pass``), measured in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PYTHON = ("-c", "pass")
COMMANDS: dict[str, tuple[str, ...]] = {
    "python -c pass": PYTHON,
    "import torch": ("-c", "import torch"),
    **{
        f"xaiprune {typed}": ("-m", "xaiprune.cli", *typed.split())
        for typed in (
            "--help",
            "search --help",
            "studies",
            "export NOTHING",
            "report NOTHING",
            "prune NOTHING",
            "search prune.raet=0.3",
            "search model=resnet1888",
        )
    },
}


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Processor time of one process and its children, user and system."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    before = os.times()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=False
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for command in COMMANDS.values():
            seconds(command, folder)  # compiled files and the disk's cache
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                taken[name].append(seconds(command, folder))
    own = np.median(taken["python -c pass"])
    print(f"{'command':<36} {'CPU s':>7} {'quartiles':>14} {'x python':>9}")
    for name, times in taken.items():
        low, middle, high = np.percentile(times, (25, 50, 75))
        print(f"{name:<36} {middle:7.2f} {f'{low:.2f} to {high:.2f}':>14} {middle / own:9.1f}")


if __name__ == "__main__":
    main()
