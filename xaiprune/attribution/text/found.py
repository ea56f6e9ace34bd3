"""What was found out about a text, and how it shows itself: tokens coloured by their relevance, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

SCHEMA = "xaiprune/text-attribution/1"


@dataclass(frozen=True)
class Answer:
    """One thing that is explained, and why the network says so.

    Attributes:
        text: What is explained: a token, a class, or in words.
        logit: The sum of the logits that relevance starts from, with their signs.
        probability: Of the token or class; None where several are explained together.
        relevance: One number for each token of the text; zero for those that the network had not read yet.
    """

    text: str
    logit: float
    probability: float | None
    relevance: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class TextAttribution:
    """Relevance of a text's tokens.

    Attributes:
        model: Name of the network.
        composite: The rules, in words.
        tokens: As they stand in the text, with their leading spaces; behind them those that were generated.
        prompt: How many of these are the text that was given.
        answers: Each thing that is explained.
    """

    model: str
    composite: str
    tokens: tuple[str, ...]
    prompt: int
    answers: tuple[Answer, ...]

    def __repr__(self) -> str:
        explained = ", ".join(repr(answer.text) for answer in self.answers)
        return f"TextAttribution({len(self.tokens)} tokens; explains {explained})"

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return section(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "composite": self.composite,
            "tokens": list(self.tokens),
            "prompt": self.prompt,
            "answers": [
                {
                    "text": answer.text,
                    "logit": answer.logit,
                    "probability": answer.probability,
                    "relevance": list(answer.relevance),
                }
                for answer in self.answers
            ],
        }


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
