"""Hooks of mkdocs.yml: what pages link outside docs/ is part of the site, under repository/.

A linked file is copied, or is a page if it is Markdown. A linked folder is its README.md, or else a list of
its files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS, OUTSIDE = "docs/", "repository/"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is linked, and what that links in turn."""
    waiting = [DOCS + file.src_uri for file in files.documentation_pages()]
    known = {DOCS + file.src_uri for file in files}
    while waiting:
        page = waiting.pop()
        for path in {_linked(page, link) for link in _LINK.findall(_text(page))} - known:
            known.add(path)
            if path.startswith(DOCS):
                continue  # mkdocs says so itself if it is not there
            if path.endswith(".md"):
                waiting.append(path)
                content: dict[str, str] = {"content": _text(path)}
            else:
                content = {"abs_src_path": str(ROOT / path)}
            inclusion = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, OUTSIDE + path, inclusion=inclusion, **content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links outside docs/ to where `on_files` has put them; read Markdown inside of <details>."""
    here = page.file.src_uri
    source = here.removeprefix(OUTSIDE) if here.startswith(OUTSIDE) else DOCS + here

    def turned(link: re.Match[str]) -> str:
        path = _linked(source, link[1])
        place = path.removeprefix(DOCS) if path.startswith(DOCS) else OUTSIDE + path
        return posixpath.relpath(place, posixpath.dirname(here))

    return _LINK.sub(turned, markdown).replace("<details>", '<details markdown="1">')


def _linked(page: str, link: str) -> str:
    """The file, from the repository's root, that a link of a page leads to."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return f"{path}/README.md" if (ROOT / path).is_dir() else path


def _text(path: str) -> str:
    """A page's text; of a folder without a README.md, a list of its files."""
    file = ROOT / path
    if file.is_file():
        return file.read_text(encoding="utf-8")
    names = sorted(entry.name for entry in file.parent.iterdir() if entry.is_file())
    return f"# {file.parent.name}\n\n" + "\n".join(f"- [{name}]({name})" for name in names) + "\n"
