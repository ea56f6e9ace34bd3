"""Relevance of the tokens of texts, and of units for them: what ``xaiprune attribute model=hf`` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from xaiprune.attribution import (
    UnitAttribution,
    attribute_text,
    attribute_text_units,
    collect_unit_texts,
)
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.text import ATTNLRP, page
from xaiprune.config import is_language
from xaiprune.config.tasks import AttributeConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.models import LanguageModel, language_path, open_language_model, read_text, resolve_device
from xaiprune.pruning import load_pruned
from xaiprune.recipe import Recipe
from xaiprune.recipe.configured import asked_recipe, configured_composite
from xaiprune.report.tokens import draw_tokens

_KEYS = ("text", "prompt", "texts")
_OTHERS = ("target", "against", "generate", "unit")


def attributes_text(config: AttributeConfig) -> bool:
    """Whether text is attributed, and not images.

    Raises:
        XaipruneError: There is a text but no language model.
    """
    given = [key for key in (*_KEYS, *_OTHERS) if getattr(config, key) is not None]
    language = is_language(config.model)
    if not language and given:
        raise XaipruneError(f"{given[0]}= is for language models: set model=hf model.path=FOLDER")
    return language


def attribute_texts(config: AttributeConfig) -> None:
    """Attribute the tokens of each text, or look for the texts of a unit; write a page and JSON.

    Raises:
        XaipruneError: As `attribute_text` and `collect_unit_texts`, no text, or a file that has none.
    """
    texts = _texts(config)
    model = open_language_model(language_path(config.model, cache=config.data.cache_dir))
    if config.model.pruned is not None:
        model = replace(model, model=load_pruned(Path(config.model.pruned).expanduser()))
    model.model.to(resolve_device(config.device))
    folder = Path(config.output_dir or "outputs").absolute()
    options: dict[str, Any] = {
        "composite": _composite(config),
        "start": config.attribution.start or "logit",
    }
    written = {}
    if config.unit is not None:
        units = [name.strip() for name in config.unit.split(",")]
        read = collect_unit_texts(model, _windows(config, model), units, **options)
        written["page"] = _write_page(read, "Texts of units", folder / "units.html")
        written["json"] = _write_json([one.to_dict() for one in read], folder / "units.json")
    else:
        prompted = int(config.prompt is not None and config.target is None and model.head != "classifier")
        options |= {
            "target": config.target,
            "against": config.against,
            "generate": config.generate or prompted,
        }
        found = [attribute_text(model, text, **options) for text in texts]
        written["page"] = _write_page(found, "Relevance of tokens", folder / "tokens.html")
        written["picture"] = draw_tokens(found, folder / "tokens.png")
        written["json"] = _write_json([text.to_dict() for text in found], folder / "tokens.json")
        if config.attribute.units:
            units_of = [attribute_text_units(model, text, **options) for text in texts]
            written["units"] = _write_page(units_of, "Relevance of units", folder / "units.html")
            written["table"] = _write_units(units_of, folder / "units.csv")
    print()
    for name, path in written.items():
        print(f"{name:<8} {path}")


def _windows(config: AttributeConfig, model: LanguageModel) -> torch.Tensor:
    """All windows of the file, (N, T)."""
    every = replace(config.data, reference_windows=sys.maxsize, validation_windows=None, test_windows=None)
    data = read_text(every, model)
    return torch.cat([split.tensor() for split in (data.reference, data.validation, data.test)])


def _texts(config: AttributeConfig) -> list[str]:
    given = [key for key in _KEYS if getattr(config, key) is not None]
    if config.unit is not None:
        others = [key for key in (*_KEYS, *_OTHERS[:-1]) if getattr(config, key) is not None]
        if others:
            raise XaipruneError(f"unit=... reads data.path and takes no {others[0]}=; leave one of them out")
        return []
    if len(given) != 1:
        which = f"got {' and '.join(given)}" if given else "got none"
        raise XaipruneError(f"set one of text='...', prompt='...' and texts=FILE, {which}")
    if config.texts is None:
        return [config.text if config.text is not None else config.prompt or ""]
    file = Path(config.texts).expanduser()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise XaipruneError(f"texts: cannot read {config.texts} ({type(error).__name__})") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise XaipruneError(f"texts: {config.texts} is empty; it needs one text in each line")
    return texts


def _composite(config: AttributeConfig) -> Composite:
    """``composite``, else the rules of ``recipe``, else AttnLRP."""
    if (composite := configured_composite(config.composite)) is not None:
        return composite
    asked = asked_recipe(config.recipe)
    if asked is None:
        return ATTNLRP
    return asked.composite if isinstance(asked, Recipe) else asked


def _write_page(found: Sequence[Any], title: str, file: Path) -> Path:
    with replacing(file) as temporary:
        temporary.write_text(page(found, title), encoding="utf-8")
    return file


def _write_json(found: Sequence[dict[str, Any]], file: Path) -> Path:
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return file


def _write_units(found: Sequence[UnitAttribution], file: Path) -> Path:
    rows = [{"text": number, **row} for number, one in enumerate(found) for row in one.rows()]
    with replacing(file) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    return file
