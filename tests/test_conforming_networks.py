"""Attribution, removal and export on every network of `tests.architectures`, as docs/networks.md says.

A part that took more than ten seconds when its row was measured is `long`. One that has no row yet is
compared with nothing; it only must not fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.architectures import NETWORKS, PARTS, TIMM, findings, timm_modules
from tests.docs.program import program
from xaiprune.testing.networks import YES

networks = program("make_networks")
ROWS = networks.read_rows()
LONG = 10.0
# Most of an export is torch's own work, a few seconds for each network; these are of different kinds.
EXPORTED = (
    "timm: efficientnet",
    "timm: vision_transformer",
    "timm: maxxvit",
    "timm: convnext",
    "torchvision: vision_transformer",
    "transformers: vit",
)


def cases() -> Iterator[Any]:
    for name in NETWORKS:
        for part in PARTS:
            seconds = ROWS.get(name, {}).get("seconds", {}).get(part, 0.0 if part == "attribution" else LONG)
            short = seconds < LONG and (part != "export" or name in EXPORTED)
            yield pytest.param(name, part, id=f"{name}-{part}", marks=[] if short else [pytest.mark.long])


@pytest.mark.parametrize(("name", "part"), cases())
def test_it_is_as_the_page_says(name: str, part: str) -> None:
    if name.startswith("transformers"):
        pytest.importorskip("transformers", reason="needs pip install xaiprune[language]")
    row = ROWS.get(name, {"seconds": {}, "failed": {}})
    if part in row["failed"]:
        pytest.skip(row["failed"][part])
    found = findings(NETWORKS[name], part)
    if part in row["seconds"]:
        assert found == {key: row[key] for key in found}, f"run: python docs/make_networks.py --only {name!r}"


def test_every_module_of_timm_is_there() -> None:
    assert set(TIMM) == timm_modules()
    assert set(ROWS) <= set(NETWORKS)


def test_the_page_is_up_to_date() -> None:
    assert networks.main(["--check"]) == 0, "run: python docs/make_networks.py"


def test_nothing_ends_in_a_traceback_or_a_wrong_result() -> None:
    """What is not possible is refused in one line; only torch's own exporter may take too long."""
    failed = {(name, part): why for name, row in ROWS.items() for part, why in row["failed"].items()}
    assert not {key: why for key, why in failed.items() if key[1] != "export" or "takes more" not in why}


def test_few_of_timms_modules_cannot_be_attributed_or_made_smaller() -> None:
    rows = [ROWS[f"timm: {name}"] for name in TIMM if f"timm: {name}" in ROWS]
    assert sum(row.get("attribution", YES) != YES for row in rows) <= 3
    removed = [row["kinds"].values() for row in rows if "kinds" in row]
    assert sum(not any(kind["smaller"] for kind in kinds) for kinds in removed) <= 6
