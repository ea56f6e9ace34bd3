"""Relevance of the tokens of a text for what a language model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.lrp.engine.recording import Recording
from xaiprune.attribution.lrp.rules import Epsilon
from xaiprune.attribution.targets import TokenTargets, target_values, weighted_sum
from xaiprune.attribution.text.found import Answer, TextAttribution
from xaiprune.attribution.unit_relevance import Start, initial_relevance, same_as_plain
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, logits
from xaiprune.models import LanguageModel

ATTNLRP = Composite(Epsilon(1e-6), name="attnlrp")
"""AttnLRP (Achtibat et al. 2024): epsilon in every layer, products split evenly, norms held constant."""


@dataclass(frozen=True)
class _Explained:
    """One thing that is explained: where relevance starts, and what it is called."""

    name: str
    targets: TokenTargets | Tensor


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
    if generate and target is not None:
        raise XaipruneError("generate and target are two ways to say what is explained; set one of them")
    if against is not None and target is None:
        raise XaipruneError("against needs target: the token or class that it is compared with")
    ids = model.encode(text)
    if model.head == "classifier":
        if generate:
            raise XaipruneError(f"{model.name} is a classifier and generates nothing; leave out generate")
        return _of_class(model, ids, target, against, composite, start)
    inputs, tokens, first = _read(model, ids, generate)
    answered = inputs if isinstance(inputs, Tensor) else inputs["decoder_input_ids"]
    last = answered.shape[1] - 1
    if target is not None:
        names = [target] if against is None else [target, against]
        chosen = [model.token_id(name) for name in names]
        explained = [_Explained(" instead of ".join(names), _pairs([last] * len(chosen), chosen))]
    elif generate:
        written = model.tokens(tokens[first:])
        places = range(last + 1 - generate, last + 1)
        explained = [
            _Explained(name.strip() or repr(name), _pairs([place], [int(token)]))
            for name, place, token in zip(written, places, tokens[first:], strict=True)
        ]
    elif not isinstance(inputs, Tensor):
        explained = [_Explained("the first token of the answer", _pairs([last], [_likeliest(model, inputs)]))]
    else:
        if len(ids) < 2:
            raise XaipruneError("a text of one token explains no other; set target or generate")
        places = range(len(ids) - 1)
        explained = [_Explained("every token by those before it", _all_for(list(places), ids[1:].tolist()))]
    return _found(model, inputs, tokens, len(ids), explained, composite, start)


def _of_class(
    model: LanguageModel,
    ids: Tensor,
    target: str | None,
    against: str | None,
    composite: Composite,
    start: Start,
) -> TextAttribution:
    names = _classes(model)
    if against is not None:
        raise XaipruneError("against compares tokens; a classifier's classes are explained one by one")
    if target is None:
        chosen = _likeliest(model, ids[None])
    elif target in names:
        chosen = names.index(target)
    else:
        raise XaipruneError(f"target '{target}' is no class of {model.name}; it has {', '.join(names[:8])}")
    explained = [_Explained(names[chosen], torch.tensor([chosen]))]
    return _found(model, ids[None], ids, len(ids), explained, composite, start)


def _classes(model: LanguageModel) -> list[str]:
    labels: dict[int, str] = model.model.config.id2label  # type: ignore[union-attr, assignment]
    return [labels[index] for index in sorted(labels)]


def _read(model: LanguageModel, ids: Tensor, generate: int) -> tuple[Inputs, Tensor, int]:
    """What the network reads, its tokens and those that it has written, and where these begin."""
    if model.head == "causal":
        model.check_length(len(ids) + generate)
        tokens = _written(model, ids, generate) if generate else ids
        return (tokens[:-1] if generate else tokens)[None], tokens, len(ids)
    begin = torch.tensor([model.model.config.decoder_start_token_id])  # type: ignore[union-attr, list-item]
    written = _written(model, ids, generate)[1:] if generate else begin[:0]
    decoder = torch.cat([begin, written[:-1]])
    inputs = {"input_ids": ids[None], "decoder_input_ids": decoder[None]}
    return inputs, torch.cat([ids, written]), len(ids)


def _written(model: LanguageModel, ids: Tensor, count: int) -> Tensor:
    """The most probable continuation, of exactly so many tokens."""
    given = as_input(model.model, ids[None])
    options: dict[str, Any] = {"do_sample": False, "num_beams": 1, "min_new_tokens": count}
    pad = model.tokenizer.pad_token_id
    options["pad_token_id"] = model.tokenizer.eos_token_id if pad is None else pad
    with torch.no_grad():
        found = model.model.generate(  # type: ignore[operator]
            given, attention_mask=torch.ones_like(given), max_new_tokens=count, **options
        )
    return found[0].cpu()


def _likeliest(model: LanguageModel, inputs: Inputs) -> int:
    with torch.no_grad():
        found = logits(model.model, inputs)
    return int(found.flatten(0, -2)[-1].argmax())


def _pairs(positions: list[int], tokens: list[int]) -> TokenTargets:
    """The first token, and against it the second."""
    return _weighted(positions, tokens, [1.0, -1.0][: len(tokens)])


def _all_for(positions: list[int], tokens: list[int]) -> TokenTargets:
    return _weighted(positions, tokens, [1.0] * len(tokens))


def _weighted(positions: list[int], tokens: list[int], weights: list[float]) -> TokenTargets:
    rows = torch.zeros(len(tokens), dtype=torch.int64)
    return TokenTargets(rows, torch.tensor(positions), torch.tensor(tokens), torch.tensor(weights), 1)


def _found(
    model: LanguageModel,
    inputs: Inputs,
    tokens: Tensor,
    prompt: int,
    explained: list[_Explained],
    composite: Composite,
    start: Start,
) -> TextAttribution:
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
        logit = weighted_sum(*target_values(logits, thing.targets))
        chances, _ = target_values(logits.softmax(-1), thing.targets)
        answers.append(
            Answer(
                text=thing.name,
                logit=float(logit),
                probability=float(chances[0]) if len(chances) == 1 else None,
                relevance=tuple(relevance[: len(tokens)].double().tolist()),
            )
        )
    names = tuple(model.tokens(tokens))
    return TextAttribution(model.name, composite.summary(), names, prompt, tuple(answers))


def _of_tokens(name: str, relevance: Tensor) -> Tensor:
    """Relevance of one text; the token that an answer begins with is no part of it."""
    return relevance[0, 1:] if name == "decoder_input_ids" else relevance[0]
