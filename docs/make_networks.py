"""Measures what can be done with every network of tests/architectures.py, and writes docs/networks.md.

    python docs/make_networks.py                          # measures what docs/networks.json lacks
    python docs/make_networks.py --only "timm: densenet"  # measures these anew
    python docs/make_networks.py --check                  # status 1 if the page is out of date

Each part of a row has a process of its own with a limit of time and memory, so that one that is slow does
not spoil the rest. tests/test_conforming_networks.py measures the same again and compares it with docs/networks.json.
"""

# ruff: noqa: E501 - Markdown has lines of its own
from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.architectures import FURTHER, NETWORKS, PARTS, TIMM, findings  # noqa: E402
from xaiprune.testing.networks import KINDS, YES  # noqa: E402

PAGE, ROWS = Path(__file__).with_name("networks.md"), Path(__file__).with_name("networks.json")
# What a row has -> how the page calls it, and the part that finds it.
COLUMNS = {
    "attribution": ("attribution", "attribution"),
    "mask": ("removal", "removal"),
    "compensation": ("compensation", "removal"),
    "saving": ("saved", "removal"),
    "onnx": ("ONNX", "export"),
}
SECONDS, GIGABYTES = 200, 10  # of processor time, so that other work does not matter
FORK = get_context("fork")  # imports once
Row = dict[str, Any]

HEAD = """\
# Networks

<!-- Written by docs/make_networks.py from docs/networks.json. -->

This page says what can be done with the smallest network of each of timm's modules (some with fewer blocks), with torchvision's own
classifiers, and with those of transformers. They have random weights, ten classes and small images (`tests/architectures.py`).
`xaiprune.testing.networks` has the three functions that measure a row; you can use them for networks of your own.
`tests/test_conforming_networks.py` compares every row with what they find. Words are in the [glossary](glossary.md).

| column | yes means |
|---|---|
| attribution | with two composites, the relevance of all units is finite and is the same alone and in a batch, and the network is not changed |
| neurons, heads, filters | how many of the layers that have such units become smaller; in the others units become zeros |
| removal | the smaller network gives the logits of the masked one, to 1e-7 of the largest (1e-4 in single precision) |
| compensation | the same after linear compensation |
| saved | the pruned network gives the same logits after it was saved and loaded |
| ONNX | onnxruntime gives the same logits, to 1e-3 of the largest |

`-` means that the network has no such units, or that it was not tried (pruned networks are saved by the names of timm's). An empty cell has not
been measured yet. The reasons for each `no`, and for layers that do not become smaller, are [below](#why-not).
"""


def main(argv: list[str] | None = None) -> int:
    """Measure what is missing and write the page, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="networks to measure anew")
    parser.add_argument("--check", action="store_true", help="compare the page with the rows")
    given = parser.parse_args(argv)
    rows = read_rows()
    if given.check:
        return int(PAGE.read_text(encoding="utf-8") != page(rows))
    if unknown := set(given.only) - set(NETWORKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; tests/architectures.py has the names")
    fresh = {name: {"network": each.name, "seconds": {}, "failed": {}} for name, each in NETWORKS.items()}
    rows = fresh | {name: row for name, row in rows.items() if name not in given.only}
    torch.set_num_threads(1)
    for part, name in product(PARTS, given.only or NETWORKS):
        if part not in rows[name]["seconds"]:
            measure_(rows[name], name, part)
            print(f"{name}: {json.dumps(rows[name])}", flush=True)
            ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(rows), encoding="utf-8")
    return 0


def read_rows() -> dict[str, Row]:
    """The rows that have been measured."""
    rows: dict[str, Row] = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.is_file() else {}
    return rows


def measure_(row: Row, name: str, part: str) -> None:
    """Add one part to a network's row, and the processor time that it took."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=send_findings, args=(name, part, sender))
    process.start()
    sender.close()
    try:
        found, why, seconds = receiver.recv()
    except EOFError:  # killed
        found, why, seconds = {}, f"takes more than {SECONDS} seconds or {GIGABYTES} GB", SECONDS
    process.join()
    row |= found
    row["seconds"][part] = round(seconds, 1)
    if why:
        row["failed"][part] = why


def send_findings(name: str, part: str, sender: Connection) -> None:
    """What the process of one part does."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTES << 30, GIGABYTES << 30))
    found, why = {}, ""
    try:
        found = findings(NETWORKS[name], part)
    except Exception as error:  # a row says so of any of them
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    sender.send((found, why, time.process_time()))


def page(rows: Mapping[str, Row]) -> str:
    """The whole page."""
    parts = [HEAD, totals(rows)]
    if missing := [name for name in NETWORKS if name not in rows]:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    for title, names in sections(rows).items():
        lines = [
            f"## {title}\n",
            "| | network | attribution | neurons | heads | filters | removal | compensation | saved | ONNX |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [line(name.partition(": ")[2], rows[name]) for name in names]
        parts.append("\n".join(lines) + "\n")
    whys = [f"| {name} | {what} | {why} |" for name in rows for what, why in reasons(rows[name])]
    parts.append("\n".join(["## Why not\n", "| | what | why |", "|---|---|---|", *whys]) + "\n")
    return "\n".join(parts)


def sections(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    """Title -> names of networks."""
    names: dict[str, list[str]] = {
        "timm, module by module": [f"timm: {name}" for name in TIMM],
        "timm, what these do not have": [f"timm: {name}" for name in FURTHER],
        "torchvision": [name for name in NETWORKS if name.startswith("torchvision")],
        "transformers": [name for name in NETWORKS if name.startswith("transformers")],
    }
    return {title: [name for name in some if name in rows] for title, some in names.items()}


def totals(rows: Mapping[str, Row]) -> str:
    """How many of timm's modules can be used for what."""
    own = [rows[f"timm: {name}"] for name in TIMM if f"timm: {name}" in rows]
    counts = []
    for key, (what, part) in COLUMNS.items():
        tried = [row for row in own if part in row["seconds"] and part not in row["failed"]]
        counts.append(f"{what}: {sum(row.get(key) == YES for row in tried)} of {len(tried)}")
    removed = [row for row in own if "kinds" in row]
    smaller = sum(any(kind["smaller"] for kind in row["kinds"].values()) for row in removed)
    counts.insert(2, f"tensors that become smaller: {smaller} of {len(removed)}")
    return f"Of timm's {len(TIMM)} modules (those that were measured): {'; '.join(counts)}.\n"


def line(name: str, row: Row) -> str:
    """A row of the table."""
    cells = [name, f"`{row['network']}`", cell(row, "attribution")]
    for kind in KINDS:
        found = row.get("kinds", {}).get(kind)
        missing = "-" if "removal" in row["seconds"] else ""
        cells.append(f"{found['smaller']} of {found['layers']}" if found else missing)
    cells += [cell(row, key) for key in COLUMNS if key != "attribution"]
    return f"| {' | '.join(cells)} |"


def cell(row: Row, key: str) -> str:
    """Yes, no, `-` where it was not tried, or nothing where it was not measured yet."""
    part = COLUMNS[key][1]
    if part in row["failed"]:
        return "no"
    if key not in row:
        return "-" if part in row["seconds"] else ""
    return YES if row[key] == YES else "no"


def reasons(row: Row) -> Iterator[tuple[str, str]]:
    """What a network does not have, and why."""
    for what, why in row["failed"].items():
        yield f"{what} fails", why
    for key, (what, _) in COLUMNS.items():
        if row.get(key, YES) != YES:
            yield what, row[key]
    for kind, found in row.get("kinds", {}).items():
        for why, layers in found["why"].items():
            yield f"{kind}, {layers} of {found['layers']}", why


if __name__ == "__main__":
    sys.exit(main())
