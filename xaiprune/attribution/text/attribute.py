"""Relevance of the tokens of a text for what a language model says."""

from __future__ import annotations

import torch
from torch import Tensor

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.lrp.rules import Epsilon
from xaiprune.attribution.text.found import Answer, TextAttribution
from xaiprune.attribution.text.question import ask
from xaiprune.attribution.unit_relevance import Start, initial_relevance, same_as_plain
from xaiprune.forward import as_input
from xaiprune.models import LanguageModel

ATTNLRP = Composite(Epsilon(1e-6), name="attnlrp")
"""AttnLRP (Achtibat et al. 2024): epsilon in every layer, products split evenly, norms held constant."""


def attribute_text(
    model: LanguageModel,
    text: str,
    *,
    target: str | None = None,
    against: str | None = None,
    generate: int = 0,
    composite: Composite = ATTNLRP,
    start: Start = "logit",
) -> TextAttribution:
    """Relevance of every token of a text for what the network makes of it.

    Args:
        model: From `xaiprune.open_language_model`.
        text: What the network reads.
        target: What is explained: a single token that could come next, or a classifier's class. By default
            every token of the text is explained by those before it, all together; of a classifier the class
            that it gives, of an encoder-decoder the first token of its answer.
        against: Explain the target in contrast to this one: relevance starts at both, with opposite signs.
        generate: Let the network go on for so many tokens (each the most probable), and explain each.
        composite: The rules.
        start: Relevance of what is explained, as `xaiprune.attribute` takes it.

    Raises:
        XaipruneError: An empty text, one longer than the network can read, a target of several tokens or a
            class that there is not, or choices that exclude each other.

    Example:
        >>> model = xp.open_language_model("llama")  # doctest: +SKIP
        >>> xp.attribute_text(model, "Once upon a", target="time")  # doctest: +SKIP
    """
    question = ask(model, text, target, against, generate)
    inputs, tokens, explained = question.inputs, question.tokens, question.explained
    given = as_input(model.model, inputs)
    recording = Recording(model.model, given, (), from_input=True, several=len(explained) > 1)
    same_as_plain(recording, model.model, given)
    logits = recording.logits
    answers = []
    for number, thing in enumerate(explained):
        initial = initial_relevance(logits, thing.targets, start)
        reached = recording.backward(composite, initial, lambda *_: None, last=number == len(explained) - 1)
        relevance = torch.cat([_of_tokens(name, values) for name, values in reached.items()])
        relevance = torch.cat([relevance, relevance.new_zeros(max(0, len(tokens) - len(relevance)))])
        logit, probability = thing.said(logits)
        shown = tuple(relevance[: len(tokens)].double().tolist())
        answers.append(Answer(thing.name, logit, probability, shown))
    names = tuple(model.tokens(tokens))
    return TextAttribution(model.name, composite.summary(), names, question.prompt, tuple(answers))


def _of_tokens(name: str, relevance: Tensor) -> Tensor:
    """Relevance of one text; the token that an answer begins with is no part of it."""
    return relevance[0, 1:] if name == "decoder_input_ids" else relevance[0]
