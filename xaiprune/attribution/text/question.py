"""What is explained of a text: what the network reads, its tokens, and where relevance starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xaiprune.attribution.targets import TokenTargets, target_values, weighted_sum
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, as_input, logits
from xaiprune.models import LanguageModel


@dataclass(frozen=True)
class Explained:
    """One thing that is explained: where relevance starts, and what it is called."""

    name: str
    targets: TokenTargets | Tensor

    def said(self, logits: Tensor) -> tuple[float, float | None]:
        """The sum of its logits, with their signs, and its probability; None where it is several."""
        chances, _ = target_values(logits.softmax(-1), self.targets)
        probability = float(chances[0]) if len(chances) == 1 else None
        return float(weighted_sum(*target_values(logits, self.targets))), probability


@dataclass(frozen=True)
class Question:
    """What is explained of one text.

    Attributes:
        inputs: What the network reads, a batch of one.
        tokens: (tokens,): ids of the text, and behind them those that the network has written.
        prompt: How many of these are the text that was given.
        explained: Each thing that is explained.
    """

    inputs: Inputs
    tokens: Tensor
    prompt: int
    explained: list[Explained]


def ask(model: LanguageModel, text: str, target: str | None, against: str | None, generate: int) -> Question:
    """Find out what is explained; see `xaiprune.attribute_text`.

    Raises:
        XaipruneError: As `xaiprune.attribute_text`.
    """
    if generate and target is not None:
        raise XaipruneError("generate and target are two ways to say what is explained; set one of them")
    if against is not None and target is None:
        raise XaipruneError("against needs target: the token or class that it is compared with")
    ids = model.encode(text)
    if model.head == "classifier":
        if generate:
            raise XaipruneError(f"{model.name} is a classifier and generates nothing; leave out generate")
        return _of_class(model, ids, target, against)
    inputs, tokens, first = _read(model, ids, generate)
    answered = inputs if isinstance(inputs, Tensor) else inputs["decoder_input_ids"]
    last = answered.shape[1] - 1
    if target is not None:
        names = [target] if against is None else [target, against]
        chosen = [model.token_id(name) for name in names]
        explained = [Explained(" instead of ".join(names), _pairs([last] * len(chosen), chosen))]
    elif generate:
        written = model.tokens(tokens[first:])
        places = range(last + 1 - generate, last + 1)
        explained = [
            Explained(name.strip() or repr(name), _pairs([place], [int(token)]))
            for name, place, token in zip(written, places, tokens[first:], strict=True)
        ]
    elif not isinstance(inputs, Tensor):
        explained = [Explained("the first token of the answer", _pairs([last], [_likeliest(model, inputs)]))]
    else:
        if len(ids) < 2:
            raise XaipruneError("a text of one token explains no other; set target or generate")
        places = range(len(ids) - 1)
        explained = [Explained("every token by those before it", _all_for(list(places), ids[1:].tolist()))]
    return Question(inputs, tokens, len(ids), explained)


def _of_class(
    model: LanguageModel,
    ids: Tensor,
    target: str | None,
    against: str | None,
) -> Question:
    names = model.classes
    if against is not None:
        raise XaipruneError("against compares tokens; a classifier's classes are explained one by one")
    if target is None:
        chosen = _likeliest(model, ids[None])
    elif target in names:
        chosen = names.index(target)
    else:
        raise XaipruneError(f"target '{target}' is no class of {model.name}; it has {', '.join(names[:8])}")
    explained = [Explained(names[chosen], torch.tensor([chosen]))]
    return Question(ids[None], ids, len(ids), explained)


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
