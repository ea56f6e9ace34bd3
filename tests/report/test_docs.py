"""What docs/report.md shows of frames runs, on a study as it describes it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from xaiprune.comparison import table as kept

from .made_up import comparison
from .made_up_study import make

DOCS = Path(__file__).resolve().parents[2] / "docs" / "report.md"


def test_the_recipes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    make(12, storage="sqlite:///studies/demo_resnet.db", name="demo_resnet")
    kept.save(comparison(), Path("studies/demo_resnet"), "key")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    results = []
    for block in blocks:
        *statements, last = block.strip().splitlines()
        exec("\n".join(statements), names)
        results.append(eval(last, names) if " = " not in last else exec(last, names))
    assert [type(result) for result in results[1:]] == [pd.Series, pd.DataFrame, pd.DataFrame]
    assert len(results[3]) == 3
