"""Parts of the HTML in which results on texts show themselves: coloured tokens, one style, whole pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Protocol

FOR, AGAINST = (213, 94, 0), (0, 114, 178)  # Okabe and Ito's vermilion and blue
STRONGEST = 0.6  # opacity: black on white and white on black stay legible below the colour

_STYLE = """
.xaiprune-text { font: 16px/1.9 system-ui, sans-serif; max-width: 60rem; overflow-wrap: anywhere; }
.xaiprune-text p { margin: 0.2rem 0 1rem; white-space: pre-wrap; }
.xaiprune-text h3 { font-size: 0.95rem; margin: 1rem 0 0; font-weight: 600; }
.xaiprune-text small { opacity: 0.75; font-weight: 400; }
.xaiprune-text span { border-radius: 0.2em; padding: 0.1em 0; }
.xaiprune-text .unread { opacity: 0.45; }
.xaiprune-text table { border-collapse: collapse; font-size: 0.9rem; }
.xaiprune-text td, .xaiprune-text th { padding: 0 0.8rem 0 0; text-align: left; font-weight: 400; }
.xaiprune-text tr > :last-child { text-align: right; font-variant-numeric: tabular-nums; }
.xaiprune-text .columns { display: grid; gap: 0 2rem; }
.xaiprune-text .columns { grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
"""


class Shows(Protocol):
    """What shows itself in a notebook, and so on a page."""

    def _repr_html_(self) -> str: ...


def block(content: str) -> str:
    """Content with the style that it needs, wherever it is put."""
    return f'<style>{_STYLE}</style><div class="xaiprune-text">{content}</div>'


def page(found: Sequence[Shows], title: str) -> str:
    """A whole page: light or dark as the reader's system is, for narrow and wide windows."""
    body = "<hr>".join(one._repr_html_() for one in found)
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


def colored(tokens: Iterable[str], values: Sequence[float], unread: Sequence[bool] = ()) -> str:
    """Tokens coloured by numbers; the one that is largest in size has the full colour.

    Args:
        tokens: As they stand in the text.
        values: One number for each, which is its title.
        unread: Which of them are pale, since the network had not read them; none by default.
    """
    largest = max(map(abs, values), default=0.0)
    pale = unread or [False] * len(values)
    spans = (
        _token(token, value, largest, faint) for token, value, faint in zip(tokens, values, pale, strict=True)
    )
    return f"<p>{''.join(spans)}</p>"


def legend(about: str, meaning: tuple[str, str], scope: str) -> str:
    """What the colours mean.

    Args:
        about: Network and rules.
        meaning: Of the first colour and of the second.
        scope: What has the full colour.
    """
    first, second = (f"background: rgba({r}, {g}, {b}, {STRONGEST})" for r, g, b in (FOR, AGAINST))
    return (
        f'<p><small><span style="{first}"> {escape(meaning[0])} </span> '
        f'<span style="{second}"> {escape(meaning[1])} </span> ({escape(scope)}). {escape(about)}</small></p>'
    )


def _token(token: str, value: float, largest: float, pale: bool) -> str:
    red, green, blue = FOR if value > 0 else AGAINST
    shade = f"background: rgba({red}, {green}, {blue}, {opacity(value, largest):.3f})"
    unread = ' class="unread"' if pale else ""
    return f'<span style="{shade}" title="{value:.4g}"{unread}>{escape(token)}</span>'
