"""Language models of transformers with their tokenizers: from a folder, a GGUF file in it, or the hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.models.hub import without_retries

log = logging.getLogger(__name__)

Head = Literal["causal", "encoder_decoder", "classifier"]

_CLASSES: dict[Head, str] = {
    "causal": "AutoModelForCausalLM",
    "encoder_decoder": "AutoModelForSeq2SeqLM",
    "classifier": "AutoModelForSequenceClassification",
}
HEADS_BY_ENDING: dict[str, Head] = {  # of the class that a configuration names
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    "ForConditionalGeneration": "encoder_decoder",
    "ForSequenceClassification": "classifier",
}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, repr=False)
class LanguageModel:
    """A network on text and what turns text into its ids.

    Attributes:
        model: In eval mode, float32, on the CPU.
        tokenizer: transformers' own.
        head: ``causal`` foretells the next token, ``encoder_decoder`` writes an answer to a text,
            ``classifier`` gives a text a class.
        name: Of its folder, or on the hub.
    """

    model: nn.Module
    tokenizer: Any
    head: Head
    name: str

    def __repr__(self) -> str:
        return f"LanguageModel({self.name}: {type(self.model).__name__})"

    @property
    def context(self) -> int | None:
        """How many tokens the network can read at once; None where nothing limits it."""
        longest = getattr(config_of(self.model), "max_position_embeddings", None)
        if longest is None or config_of(self.model).model_type in ("t5", "mt5", "umt5"):
            return None
        for name, module in self.model.named_modules():
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
                return int(longest) - int(module.padding_idx) - 1  # RoBERTa counts from there
        return int(longest)

    def encode(self, text: str, *, begins: bool = True) -> Tensor:
        """A text's ids, (tokens,) int64.

        Args:
            text: Not empty.
            begins: With the special tokens that belong to the beginning of a text.

        Raises:
            XaipruneError: A text without tokens, or with more of them than the network can read.
        """
        ids = self.tokenizer(text, add_special_tokens=begins)["input_ids"]
        if not text.strip() or not ids:
            raise XaipruneError("the text is empty: give at least one word")
        self.check_length(len(ids))
        return torch.tensor(ids)

    def all_ids(self, text: str) -> list[int]:
        """The ids of a text of any length, without special tokens."""
        with quietly(import_transformers()):  # which warns of texts longer than the network reads
            found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    @property
    def outputs(self) -> int:
        """How many tokens the network tells apart."""
        return int(config_of(self.model).get_text_config().vocab_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """A classifier's classes, in the order of its outputs.

        Raises:
            XaipruneError: It gives a number, or any number of classes.
        """
        config = config_of(self.model)
        labels: dict[int, str] = config.id2label
        if len(labels) < 2 or config.problem_type == "multi_label_classification":
            raise XaipruneError(
                f"{self.name} does not give a text one class of several; take a model that does"
            )
        return tuple(str(labels[index]) for index in sorted(labels))

    def padded(self, texts: Sequence[str], longest: int) -> dict[str, Tensor]:
        """Texts as the network takes them, with their special tokens, padded to the longest of them.

        Args:
            texts: None empty.
            longest: Tokens at most, or as many as the network can read; what is longer is cut, and counted in
                the log.

        Returns:
            ``input_ids`` and ``attention_mask``, (N, T) int64.

        Raises:
            XaipruneError: The tokenizer has no token for padding.
        """
        if self.tokenizer.pad_token_id is None:
            raise XaipruneError(f"the tokenizer of {self.name} has no padding token; set its pad_token")
        longest = longest if self.context is None else min(longest, self.context)
        with quietly(import_transformers()):
            lengths = [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]]
            options = {"truncation": True, "max_length": longest, "return_tensors": "pt"}
            found = self.tokenizer(list(texts), padding=True, **options)
        if cut := sum(length > longest for length in lengths):
            log.info("%d of %d texts are cut to %d tokens (data.window)", cut, len(texts), longest)
        return {key: found[key] for key in ("input_ids", "attention_mask")}

    def check_length(self, tokens: int) -> None:
        """Refuse more tokens than the network can read.

        Raises:
            XaipruneError: Says how many there are, and how many there may be.
        """
        if self.context is not None and tokens > self.context:
            raise XaipruneError(
                f"the text has {tokens} tokens, and {self.name} reads at most {self.context}; shorten it"
            )

    def tokens(self, ids: Tensor) -> list[str]:
        """Each token as it stands in the text, its leading space included.

        Args:
            ids: (tokens,).
        """
        pieces = self.tokenizer.convert_ids_to_tokens(ids.tolist())
        return [_as_text(self.tokenizer, int(i), piece) for i, piece in zip(ids, pieces, strict=True)]

    def token_id(self, text: str) -> int:
        """The single token that a text is, as it would go on in the middle of a sentence.

        Raises:
            XaipruneError: The text is several tokens, or none.
        """
        spaced = [f" {text.strip()}", text.strip()]  # in most vocabularies, words begin with their space
        found = [self._continuation(t) for t in (spaced if text.strip()[:1].isalnum() else spaced[::-1])]
        vocabulary = self.tokenizer.get_vocab()
        if text in vocabulary:
            found.append([vocabulary[text]])
        for ids in found:
            if len(ids) == 1:
                return ids[0]
        ids = min(filter(None, found), key=len, default=[])
        pieces = self.tokens(torch.tensor(ids)) if ids else []
        raise XaipruneError(
            f"target '{text}' is {len(ids)} tokens of {self.name} ({'|'.join(pieces)}); "
            "a target is a single token: choose its first"
        )

    def _continuation(self, text: str) -> list[int]:
        """The ids of a text behind a letter; none where the two become one token."""
        before, both = (self.tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("a", f"a{text}"))
        return [int(i) for i in both[len(before) :]] if both[: len(before)] == before else []


def open_language_model(path: str | Path) -> LanguageModel:
    """A language model and its tokenizer.

    Args:
        path: A folder as transformers saves it, a folder with a GGUF file, that file, or a name on the hub.

    Raises:
        XaipruneError: transformers is not installed, there is no such model, it has no head for text, it is a
            mixture of experts, or the tokenizer is not its own.
    """
    transformers = import_transformers()
    source, options = source_of(str(path))
    with quietly(transformers), without_retries():
        try:
            config = transformers.AutoConfig.from_pretrained(source, **options)
            _refuse_experts(config, path)
            head = _head(config, path)
            loader = getattr(transformers, _CLASSES[head])
            model, report = loader.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **options
            )
        except XaipruneError:
            raise
        except ImportError as error:
            raise _not_installed(_first_line(error)) from error
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise _cannot_open(str(path), error) from error
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
            raise _no_tokenizer(path) from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise XaipruneError(
            f"model.path: {path} has no weights for {missing}; it is no {type(model).__name__}"
        )
    _check_tokenizer(model, tokenizer, path)
    name = Path(source).name if Path(source).is_dir() else str(path)
    return LanguageModel(model.eval(), tokenizer, head, name)


def import_transformers() -> Any:
    """The package, which only language models need.

    Raises:
        XaipruneError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise _not_installed(_first_line(error)) from error
    return transformers


def _not_installed(reason: str) -> XaipruneError:
    return XaipruneError(f"language models need more packages ({reason}): pip install 'xaiprune[language]'")


def source_of(path: str) -> tuple[str, dict[str, str]]:
    """Where transformers finds the model, and the name of the GGUF file in that folder, if it is one."""
    place = Path(path).expanduser()
    if place.suffix == ".gguf" and place.is_file():
        return str(place.parent), {"gguf_file": place.name}
    if not place.is_dir():
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path) and not path.startswith("."):
            return path, {}
        raise XaipruneError(f"model.path: no such folder: {path}")
    if (place / "config.json").is_file():
        return str(place), {}
    files = sorted(place.glob("*.gguf"))
    if len(files) == 1:
        return str(place), {"gguf_file": files[0].name}
    if files:
        names = ", ".join(file.name for file in files[:4])
        raise XaipruneError(f"model.path: {path} has {len(files)} GGUF files ({names}); give the path of one")
    raise XaipruneError(
        f"model.path: {path} has neither config.json nor a GGUF file; it is no folder of a language model"
    )


def _cannot_open(path: str, error: Exception) -> XaipruneError:
    if Path(path).expanduser().exists():
        return XaipruneError(f"model.path: cannot open {path} ({_first_line(error)})")
    return XaipruneError(
        f"model.path: there is no folder {path}, and the hub does not give a model of that name (offline?): "
        f"{_first_line(error)}; download it elsewhere and set model.path=FOLDER"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def config_of(model: nn.Module) -> Any:
    """transformers' configuration of one of its networks."""
    return model.config


def _head(config: Any, path: str | Path) -> Head:
    named = list(getattr(config, "architectures", None) or [])
    for architecture in named:
        for ending, head in HEADS_BY_ENDING.items():
            if architecture.endswith(ending):
                both = head == "encoder_decoder" and not getattr(config, "is_encoder_decoder", False)
                return "causal" if both else head
    if not named:  # a GGUF file's configuration names none
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            return "causal"
    raise XaipruneError(
        f"model.path: {path} is {', '.join(named) or config.model_type}, which has no head that is known "
        f"here; it must end in {', '.join(HEADS_BY_ENDING)}"
    )


def _refuse_experts(config: Any, path: str | Path) -> None:
    text = getattr(config, "text_config", config)
    for key in _EXPERTS:
        if (getattr(text, key, 0) or 0) > 1:
            raise XaipruneError(
                f"model.path: {path} ({config.model_type}) is a mixture of {getattr(text, key)} experts, "
                "for which there are no relevance rules; use a dense model"
            )


def _check_tokenizer(model: nn.Module, tokenizer: Any, path: str | Path) -> None:
    rows = len(model.get_input_embeddings().weight)  # type: ignore[operator]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest < 0:
        raise _no_tokenizer(path)
    if largest >= rows:
        raise XaipruneError(
            f"model.path: the tokenizer in {path} has ids up to {largest}, the model embeds {rows}: "
            "it belongs to another model"
        )


def _no_tokenizer(path: str | Path) -> XaipruneError:
    return XaipruneError(
        f"model.path: {path} has no tokenizer that can be read; save the model's own there (tokenizer.json)"
    )


def _as_text(tokenizer: Any, token: int, piece: str | None) -> str:
    if piece is None:  # models embed more ids than their tokenizer has, to round sizes up
        return f"<{token}>"
    if token in tokenizer.all_special_ids:
        return piece
    if piece.startswith(("▁", "Ġ", " ")):  # how tokenizers spell a leading space
        return " " + tokenizer.decode([token]).lstrip()
    if piece.startswith("##"):  # how WordPiece spells that there is none
        return piece[2:]
    text: str = tokenizer.decode([token])
    return text


@contextmanager
def quietly(transformers: Any) -> Iterator[None]:
    """Without bars and warnings of transformers' own: what is wrong is said by errors."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
