"""A tiny BERT that tells texts apart, with its tokenizer and texts, trained in seconds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

WORDS = ("sun", "rain", "tree", "road", "house", "river", "bird", "stone", "cloud", "field")
CLASSES = ("even", "odd")


def texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of four to nine words: are an even number of sun, rain and tree in it? No sum of words tells."""
    generator = torch.Generator().manual_seed(seed)

    def draw(below: int, size: tuple[int, ...] = ()) -> torch.Tensor:
        return torch.randint(below, size, generator=generator)

    found: dict[str, str] = {}
    while len(found) < count:
        words = [WORDS[3 + i] for i in draw(len(WORDS) - 3, (int(draw(6)) + 4,)).tolist()]
        for word in WORDS[:3]:
            if draw(2):
                words[int(draw(len(words)))] = word
        found[" ".join(words)] = CLASSES[sum(word in words for word in WORDS[:3]) % 2]
    return list(found.items())


def write_csv(path: Path, rows: list[tuple[str, str]], columns: tuple[str, str] = ("text", "label")) -> Path:
    """The rows as a file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def tokenizer() -> Any:
    """A token for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def untrained(**settings: Any) -> torch.nn.Module:
    """BERT with two classes."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings = {"max_position_embeddings": 16, "vocab_size": 14, "pad_token_id": 0, **sizes, **settings}
    config = BertConfig(
        **{"id2label": dict(enumerate(CLASSES)), **settings},
        label2id={name: i for i, name in enumerate(CLASSES)},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config).eval()


def save(folder: Path, model: torch.nn.Module) -> Path:
    """Network and tokenizer as transformers saves them."""
    model.save_pretrained(folder)  # type: ignore[operator]
    tokenizer().save_pretrained(folder)
    return folder


def trained(steps: int = 400) -> torch.nn.Module:
    """The network once it can tell the classes apart."""
    model, words = untrained(), tokenizer()
    rows = texts(1500, seed=1)
    inputs = words([text for text, _ in rows], padding=True, return_tensors="pt")
    labels = torch.tensor([CLASSES.index(label) for _, label in rows])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(rows), (64,))
        batch = {key: inputs[key][chosen] for key in ("input_ids", "attention_mask")}
        loss = model(**batch, labels=labels[chosen]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()
