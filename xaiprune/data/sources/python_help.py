"""The help that comes with every Python: the language reference, as ``help("if")`` shows it."""

import pydoc_data.topics
from collections.abc import Mapping

import torch

from xaiprune.config import DataConfig
from xaiprune.data.dataset import Dataset
from xaiprune.data.text import dataset_of_parts
from xaiprune.data.text_source import Reader, TextSource, check_window, window_limits
from xaiprune.registry import register_source

_BLOCK = 20  # paragraphs that stay together
_PARTS = ("reference", "reference", "reference", "validation", "test")  # of every five blocks
_WORDS = 8  # of a paragraph, at least


@register_source("python_help")
class PythonHelp(TextSource):
    """Its paragraphs of English, each once: some topics repeat others.

    Blocks of paragraphs take turns: of five, three serve for reference, one for validation and one for test.
    The parts do not depend on ``data.seed``: ``model=help_llama`` is trained on the reference part.
    """

    text = "the help texts of the installed Python (pydoc_data.topics); no download"

    @classmethod
    def read(cls, config: DataConfig, reader: Reader) -> Dataset:
        """Windows of each part."""
        check_window(config, reader)
        ids = {part: torch.tensor(reader.all_ids(text)) for part, text in help_texts().items()}
        limits = window_limits(config)
        return dataset_of_parts(ids, config.window, reader.outputs, limits=limits, name="data=python_help")


def help_texts() -> Mapping[str, str]:
    """Part -> its text, a paragraph in each line."""
    every = (
        " ".join(part.split()) for text in pydoc_data.topics.topics.values() for part in text.split("\n\n")
    )
    paragraphs = [text for text in dict.fromkeys(every) if _is_prose(text)]
    found: dict[str, list[str]] = {part: [] for part in _PARTS}
    for number, paragraph in enumerate(paragraphs):
        found[_PARTS[number // _BLOCK % len(_PARTS)]].append(paragraph)
    return {part: "\n".join(own) for part, own in found.items()}


def _is_prose(paragraph: str) -> bool:
    """Whether these are sentences, and neither code nor grammar."""
    sentences = paragraph[:1].isupper() and paragraph.endswith((".", ":"))
    return sentences and len(paragraph.split()) >= _WORDS and not any(s in paragraph for s in (">>>", "::="))
