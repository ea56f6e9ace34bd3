"""Pictures of the docs are small, and each is shown somewhere."""

from __future__ import annotations

from tests.docs.pages import PAGES, REPOSITORY

LARGEST = 200 * 1024  # bytes


def test_pictures_are_small_and_shown() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted((REPOSITORY / "docs" / "images").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < LARGEST, picture.name
        assert f"images/{picture.name})" in text, f"{picture.name} is shown nowhere"
