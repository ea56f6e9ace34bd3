"""A picture of texts whose tokens are coloured by their relevance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xaiprune.attribution import TextAttribution
from xaiprune.attribution.text.html import AGAINST, FOR, opacity
from xaiprune.files import replacing

_COLUMNS = 100  # letters in a line
_LINE = 0.28  # inches


def draw_tokens(found: Sequence[TextAttribution], path: Path) -> Path:
    """Draw each thing that is explained as a heading and the text below it.

    Args:
        found: Texts.
        path: PNG file to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    lines: list[list[tuple[str, tuple[float, float, float, float], bool]]] = []
    for text in found:
        for answer in text.answers:
            lines.append([(f"{answer.text}  (logit {answer.logit:.3f})", (0, 0, 0, 0), True)])
            largest = max(map(abs, answer.relevance), default=0.0)
            lines += _wrapped(
                [(token, _colour(r, largest)) for token, r in zip(text.tokens, answer.relevance, strict=True)]
            )
            lines.append([])
    figure = Figure(figsize=(9.5, _LINE * max(2, len(lines))), dpi=120)
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    axes.set(xlim=(0, _COLUMNS + 1), ylim=(len(lines), 0))
    axes.axis("off")
    for row, line in enumerate(lines):
        column = 0
        for token, colour, heading in line:
            if colour[3]:
                axes.fill_betweenx([row + 0.08, row + 0.92], column, column + len(token), color=colour, lw=0)
            weight = "bold" if heading else "normal"
            for place, letter in enumerate(token):  # each in its own column, whatever the font's widths
                axes.text(
                    column + place + 0.5, row + 0.5, letter, ha="center", va="center", fontsize=9.5,
                    family="monospace", weight=weight, parse_math=False,
                )  # fmt: skip
            column += len(token)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white")
    return path


def _colour(value: float, largest: float) -> tuple[float, float, float, float]:
    red, green, blue = FOR if value > 0 else AGAINST
    return red / 255, green / 255, blue / 255, opacity(value, largest)


def _wrapped(
    tokens: Sequence[tuple[str, tuple[float, float, float, float]]],
) -> list[list[tuple[str, tuple[float, float, float, float], bool]]]:
    lines: list[list[tuple[str, tuple[float, float, float, float], bool]]] = [[]]
    width = 0
    for token, colour in tokens:
        shown = token.replace("\n", "↵").replace("\t", " ")[:_COLUMNS]
        if width + len(shown) > _COLUMNS:
            lines.append([])
            width = 0
        lines[-1].append((shown, colour, False))
        width += len(shown)
    return lines
