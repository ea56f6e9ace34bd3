"""The page in a real browser: drawn, silent, and readable on a telephone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, chromium
from xaiprune.comparison import table as kept
from xaiprune.report.page import write_page

from .made_up import comparison
from .made_up_study import findings, make
from .test_page import with_cost

pytestmark = pytest.mark.xdist_group("browser")  # one browser, one page
FIGURES = ["curves", "history", "front", "importances", "rules", "numbers", "kept"]
DRAWN = "document.querySelectorAll('[data-drawn]').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    kept.save(comparison(), folder, "key")
    with_cost(folder)
    path = write_page(findings(folder, make(cost="macs")), folder / "report.html")
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_drawn_silent_and_not_too_wide(browser: Browser, address: str, width: int, dark: bool) -> None:
    browser.complaints()  # of other tests
    browser.open(address, width, dark=dark)
    browser.wait(f"{DRAWN} == {len(FIGURES)}")
    assert browser.run("return [...document.querySelectorAll('[data-drawn]')].map(f => f.dataset.drawn)") == (
        FIGURES
    )
    # A figure is drawn where plotly has put marks, not only axes.
    marks = browser.run(
        "return [...document.querySelectorAll('.canvas')].map(box => box.querySelectorAll("
        "'.main-svg .trace path, .main-svg .hm image, .main-svg .point path').length)"
    )
    assert all(marks), dict(zip(FIGURES, marks, strict=True))
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    overflowing = browser.run(
        "return [...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll') && "
        "!e.closest('svg') && !e.closest('.modebar') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert overflowing == []
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    text = browser.run("return getComputedStyle(document.querySelector('.canvas .xtick text')).fill")
    assert text == ("rgb(228, 231, 235)" if dark else "rgb(27, 31, 36)")
    assert browser.complaints() == []


@pytest.mark.parametrize("trials", [1, 3])
def test_a_study_that_has_just_begun(browser: Browser, tmp_path: Path, trials: int) -> None:
    path = write_page(findings(tmp_path, make(trials)), tmp_path / "report.html")
    browser.complaints()
    browser.open(path.as_uri(), 400)
    browser.wait(
        "document.querySelectorAll('.canvas').length == document.querySelectorAll('[data-drawn]').length"
    )
    assert browser.run("return document.documentElement.scrollWidth") == 400
    assert browser.complaints() == []


def test_a_complaint_would_be_seen(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.run("console.error('a figure is broken')")
    browser.run("fetch('https://example.org/').catch(() => null)")
    browser.wait(f"{DRAWN} == {len(FIGURES)}")
    said = browser.complaints()
    assert any("a figure is broken" in line for line in said)
    assert any("Content Security Policy" in line for line in said)  # the page keeps to itself


def test_follows_the_screen(browser: Browser, address: str) -> None:
    """Turned dark, or made narrow, while it is open."""
    browser.open(address, 1400)
    browser.wait(f"{DRAWN} == {len(FIGURES)}")
    browser.resize(1400, dark=True)
    browser.wait(
        "getComputedStyle(document.querySelector('.canvas .xtick text')).fill == 'rgb(228, 231, 235)'"
    )
    browser.resize(400)
    browser.wait("[...document.querySelectorAll('.canvas')].every(box => box.dataset.narrow == 'true')")
    browser.wait("document.documentElement.scrollWidth == 400")
    assert browser.complaints() == []


def test_on_paper_it_is_light_and_fits(browser: Browser, address: str, tmp_path: Path) -> None:
    browser.open(address, 1400, dark=True)
    browser.wait(f"{DRAWN} == {len(FIGURES)}")
    browser.run(
        "addEventListener('beforeprint', () => { window.seen = "
        "[...document.querySelectorAll('.canvas .main-svg')].map(svg => svg.clientWidth).concat("
        "getComputedStyle(document.querySelector('.canvas .xtick text')).fill); })"
    )
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    *widths, ink = browser.run("return window.seen")
    assert max(widths) <= 700
    assert ink == "rgb(27, 31, 36)"
    # Back on the screen everything is as before.
    browser.wait(
        "getComputedStyle(document.querySelector('.canvas .xtick text')).fill == 'rgb(228, 231, 235)'"
    )
    assert browser.complaints() == []


def test_tables_need_no_script(browser: Browser, address: str) -> None:
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address, 1400)
        assert browser.run("return document.querySelectorAll('table.methods tbody tr').length") > 5
        assert browser.run("return getComputedStyle(document.querySelector('noscript')).display") != "none"
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
