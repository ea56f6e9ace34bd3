"""A CSV file of texts with a class each, which classifiers of text read."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence

import torch

from xaiprune.config import DataConfig
from xaiprune.data.dataset import Dataset
from xaiprune.data.labelled_texts import LabelledTexts
from xaiprune.data.source import Part
from xaiprune.data.split import by_hash, rank
from xaiprune.data.task import Task
from xaiprune.data.text_source import Reader, TextSource, file_of_text
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.registry import register_source

log = logging.getLogger(__name__)

_COLUMNS = ("text", "label")
_PARTS: Mapping[Part, float] = {"reference": 0.4, "validation": 0.3, "test": 0.3}


@register_source("text_classification")
class TextClassification(TextSource):
    """Texts that are divided by a hash of what they say, so that no text is in two splits."""

    text = "a CSV file with the columns text and label, for classifiers of text (model=hf)"
    needs_path = True
    head = "classifier"
    for_models = "models that give a text a class"

    @classmethod
    def read(cls, config: DataConfig, reader: Reader) -> Dataset:
        """As many texts of each class as ``data.reference_per_class`` and so on say, or all.

        Raises:
            XaipruneError: A column is missing, a label is no class, a text is empty, or there are too few.
        """
        name, classes = f"data.path: {config.path}", reader.classes
        rows = _rows(file_of_text(config), name)
        labels = [_label(row["label"], classes, f"{name}, row {number}") for number, row in rows.items()]
        numbers, texts = list(rows), [row["text"] for row in rows.values()]
        parts = by_hash(texts, labels, _PARTS, seed=config.seed)
        limits = (config.reference_per_class, config.validation_per_class, config.test_per_class)
        order = sorted(range(len(texts)), key=lambda place: rank(texts[place], config.seed))
        splits = {}
        for part, limit in zip(_PARTS, limits, strict=True):
            own = [place for place in order if parts[texts[place]] == part]
            chosen = _of_each_class(own, labels, limit)
            if not chosen:
                raise XaipruneError(f"{name} has {len(texts)} texts, none of them left for {part}; add some")
            splits[part] = LabelledTexts(
                reader.padded([texts[place] for place in chosen], config.window),
                torch.tensor([labels[place] for place in chosen]),
                tuple(f"row {numbers[place]}" for place in chosen),
            )
        return Dataset(splits["reference"], splits["validation"], splits["test"], Task(tuple(classes)))


def _rows(content: str, name: str) -> dict[int, dict[str, str]]:
    """Row in the file, from 1 -> its columns; of texts that are there twice the first."""
    reader = csv.DictReader(io.StringIO(content, newline=""))
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        has = ", ".join(map(str, reader.fieldnames or ()))
        raise XaipruneError(f"{name} has no column '{missing[0]}' (its first line has {has}); name it so")
    found: dict[str, tuple[int, dict[str, str]]] = {}
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if not (row["text"] or "").strip():
                raise XaipruneError(f"{name}, row {number} has no text; leave it out")
            found.setdefault(row["text"].strip(), (number, row))
    except csv.Error as error:
        raise XaipruneError(f"{name} cannot be read as CSV behind row {number}: {error}") from error
    if not found:
        raise XaipruneError(f"{name} has no rows behind its first line; give texts with labels")
    if number > len(found):
        log.info("%s: %d texts that are there already are left out", name, number - len(found))
    return {number: {**row, "text": text} for text, (number, row) in found.items()}


def _label(label: str | None, classes: Sequence[str], where: str) -> int:
    """The output of a class's name, or of its number."""
    given = (label or "").strip()
    if given in classes:
        return classes.index(given)
    if given.isdecimal() and int(given) < len(classes):
        return int(given)
    closest = did_you_mean(given, classes) or f"; there are {', '.join(classes[:8])}, or their numbers from 0"
    raise XaipruneError(f"{where} has the label '{given}', which the model does not know{closest}")


def _of_each_class(places: Sequence[int], labels: Sequence[int], limit: int | None) -> list[int]:
    if limit is None:
        return list(places)
    taken, chosen = dict.fromkeys(labels, 0), []
    for place in places:
        if taken[labels[place]] < limit:
            taken[labels[place]] += 1
            chosen.append(place)
    return chosen
