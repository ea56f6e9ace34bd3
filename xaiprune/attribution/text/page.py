"""A text whose tokens are coloured by their relevance, as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xaiprune.attribution.text.found import Answer, TextAttribution

FOR, AGAINST = (213, 94, 0), (0, 114, 178)  # Okabe and Ito's vermilion and blue
STRONGEST = 0.6  # opacity: black on white and white on black stay legible below the colour

_STYLE = """
.xaiprune-text { font: 16px/1.9 system-ui, sans-serif; max-width: 60rem; overflow-wrap: anywhere; }
.xaiprune-text p { margin: 0.2rem 0 1rem; white-space: pre-wrap; }
.xaiprune-text h3 { font-size: 0.95rem; margin: 1rem 0 0; font-weight: 600; }
.xaiprune-text small { opacity: 0.75; font-weight: 400; }
.xaiprune-text span { border-radius: 0.2em; padding: 0.1em 0; }
.xaiprune-text .unread { opacity: 0.45; }
"""


def section(found: TextAttribution) -> str:
    """One text with everything that is explained of it, to be put into a page or a notebook."""
    blocks = "".join(_block(found, answer) for answer in found.answers)
    return f'<style>{_STYLE}</style><div class="xaiprune-text">{blocks}{_legend(found)}</div>'


def page(found: Sequence[TextAttribution], title: str) -> str:
    """A whole page: light or dark as the reader's system is, for narrow and wide windows."""
    body = "<hr>".join(map(section, found))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>"
        ":root { color-scheme: light dark; } body { margin: 1.2rem; }"
        "@media (prefers-color-scheme: dark) { body { background: #14161a; color: #f2f2f2; } }"
        f"</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def opacity(value: float, largest: float) -> float:
    """How strongly a token is coloured, 0 to `STRONGEST`."""
    return 0.0 if largest == 0 else STRONGEST * abs(value) / largest


def _block(found: TextAttribution, answer: Answer) -> str:
    chance = "" if answer.probability is None else f", probability {answer.probability:.1%}"
    heading = f"<h3>{escape(answer.text)} <small>logit {answer.logit:.3f}{chance}</small></h3>"
    largest = max(map(abs, answer.relevance), default=0.0)
    spans = [
        _token(token, value, largest, place >= found.prompt)
        for place, (token, value) in enumerate(zip(found.tokens, answer.relevance, strict=True))
    ]
    return f"{heading}<p>{''.join(spans)}</p>"


def _token(token: str, value: float, largest: float, answered: bool) -> str:
    red, green, blue = FOR if value > 0 else AGAINST
    shade = f"background: rgba({red}, {green}, {blue}, {opacity(value, largest):.3f})"
    unread = ' class="unread"' if answered and value == 0 else ""
    return f'<span style="{shade}" title="{value:.4g}"{unread}>{escape(token)}</span>'


def _legend(found: TextAttribution) -> str:
    red, blue = (f"background: rgba({r}, {g}, {b}, {STRONGEST})" for r, g, b in (FOR, AGAINST))
    return (
        f'<p><small><span style="{red}"> for it </span> <span style="{blue}"> against it </span>'
        " (the strongest token of each text has the full colour). "
        f"{escape(found.model)}, {escape(found.composite)}</small></p>"
    )
