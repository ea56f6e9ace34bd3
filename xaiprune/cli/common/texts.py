"""Relevance of the tokens of texts: what ``xaiprune attribute model=hf`` does."""

from __future__ import annotations

import json
from pathlib import Path

from xaiprune.attribution import TextAttribution, attribute_text
from xaiprune.attribution.lrp.composite import Composite
from xaiprune.attribution.text import ATTNLRP, page
from xaiprune.config import HUGGING_FACE
from xaiprune.config.tasks import AttributeConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.models import open_language_model, required_path, resolve_device
from xaiprune.recipe import Recipe
from xaiprune.recipe.configured import asked_recipe, configured_composite
from xaiprune.report.tokens import draw_tokens

_KEYS = ("text", "prompt", "texts")


def attributes_text(config: AttributeConfig) -> bool:
    """Whether text is attributed, and not images.

    Raises:
        XaipruneError: There is a text but no language model.
    """
    given = [key for key in (*_KEYS, "target", "against", "generate") if getattr(config, key) is not None]
    if config.model.name != HUGGING_FACE and given:
        raise XaipruneError(f"{given[0]}= is for language models: set model=hf model.path=FOLDER")
    return config.model.name == HUGGING_FACE


def attribute_texts(config: AttributeConfig) -> None:
    """Attribute the tokens of each text; write a page, a picture and JSON.

    Raises:
        XaipruneError: As `attribute_text`, no text, or a file that has none.
    """
    texts = _texts(config)
    model = open_language_model(required_path(config.model))
    model.model.to(resolve_device(config.device))
    generate = config.generate or int(config.prompt is not None and config.target is None)
    found = [
        attribute_text(
            model,
            text,
            target=config.target,
            against=config.against,
            generate=0 if model.head == "classifier" and config.generate is None else generate,
            composite=_composite(config),
            start=config.attribution.start or "logit",  # type: ignore[arg-type]  # the schema has checked it
        )
        for text in texts
    ]
    folder = Path(config.output_dir or "outputs").absolute()
    print()
    for name, path in _write(found, folder).items():
        print(f"{name:<8} {path}")


def _texts(config: AttributeConfig) -> list[str]:
    given = [key for key in _KEYS if getattr(config, key) is not None]
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


def _write(found: list[TextAttribution], folder: Path) -> dict[str, Path]:
    written = {
        "page": folder / "tokens.html",
        "picture": folder / "tokens.png",
        "json": folder / "tokens.json",
    }
    with replacing(written["page"]) as temporary:
        temporary.write_text(page(found, "Relevance of tokens"), encoding="utf-8")
    draw_tokens(found, written["picture"])
    with replacing(written["json"]) as temporary:
        temporary.write_text(json.dumps([text.to_dict() for text in found], indent=1), encoding="utf-8")
    return written
