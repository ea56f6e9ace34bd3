"""mkdocs builds the pages of docs/ into a site, without a warning, in the order of docs/README.md."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import REPOSITORY

DOCS = REPOSITORY / "docs"
OUTSIDE = "repository/"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name functions of Python."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, tag, node: tag)


def navigation() -> dict[str, list[str]]:
    """Section -> its pages, as docs/README.md links them; a page without a section is its own."""
    config: dict[str, Any] = yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    found: dict[str, list[str]] = {}
    for entry in config["nav"]:
        ((title, pages),) = entry.items()
        named = [{title: pages}] if isinstance(pages, str) else pages
        found[title] = [path for page in named for path in page.values()]
    return found


def test_every_page_is_in_the_navigation() -> None:
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md")}
    listed = [path for paths in navigation().values() for path in paths]
    assert len(listed) == len(set(listed))
    assert {path for path in listed if not path.startswith(OUTSIDE)} == pages
    for path in listed:
        if path.startswith(OUTSIDE):
            linked = REPOSITORY / path.removeprefix(OUTSIDE)
            assert linked.is_file() or linked.parent.is_dir(), path


def test_the_index_has_the_same_order() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^\*\*(.+)\*\*$", index, flags=re.MULTILINE)[1:]
    linked = {
        title: re.findall(r"^\| \[[^]]+\]\(([^)#]+)", text, re.MULTILINE)
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }
    order = {title: pages for title, pages in navigation().items() if title != "Home"}
    assert list(linked) == list(order)
    for title, pages in order.items():
        there = [path.replace("../", OUTSIDE) for path in linked[title]]
        there = [path if path.endswith(".md") else f"{path}/README.md" for path in there]
        assert [path for path in there if path in pages] == pages, title


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed (the extra docs)")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for page in DOCS.glob("**/*.md"):
        place = page.relative_to(DOCS)
        built = site / (place.parent if page.name == "README.md" else place.with_suffix("")) / "index.html"
        text = built.read_text(encoding="utf-8")
        assert not re.search(r'src="?https?:|@import|<link[^>]+stylesheet[^>]+https?:', text), place
    start = (site / "repository" / "index.html").read_text(encoding="utf-8")
    assert 'href="../recipes/#your-own-images"' in start  # docs/recipes.md, as README.md calls it
    assert (site / "repository" / "notebooks" / "1-first-search.ipynb").is_file()
    tables = (site / "results" / "ten-classes" / "index.html").read_text(encoding="utf-8")
    assert "<details>\n<summary>Every method</summary>\n<table>" in re.sub(r"<!--.*?-->\n*", "", tables)
