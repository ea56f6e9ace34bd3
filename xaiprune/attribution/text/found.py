"""What was found out about a text, and how it shows itself: tokens coloured by their relevance, as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from xaiprune.attribution.text.html import block, colored, legend

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
        about = f"{self.model}, {self.composite}"
        scope = "the strongest token of each text has the full colour"
        blocks = "".join(_block(self, answer) for answer in self.answers)
        return block(blocks + legend(about, ("for it", "against it"), scope))

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


def _block(found: TextAttribution, answer: Answer) -> str:
    unread = [place >= found.prompt and value == 0 for place, value in enumerate(answer.relevance)]
    return heading(answer.text, answer.logit, answer.probability) + colored(
        found.tokens, answer.relevance, unread
    )


def heading(text: str, logit: float, probability: float | None) -> str:
    """What is explained, as HTML."""
    chance = "" if probability is None else f", probability {probability:.1%}"
    return f"<h3>{escape(text)} <small>logit {logit:.3f}{chance}</small></h3>"
