"""From a configuration to a network with its weights."""

import logging
from dataclasses import replace

import timm
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from xaiprune.config import HELP_LLAMA, HUGGING_FACE, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.models.checkpoint import load_checkpoint_
from xaiprune.models.digits import TRAINING_RECIPES, trained_weights
from xaiprune.models.help_llama import trained_help_llama
from xaiprune.models.hub import without_retries
from xaiprune.models.language import open_language_model

_WAYS_OUT = "set model.checkpoint=FILE, or model.pretrained=false for random weights"

log = logging.getLogger(__name__)


def load(config: ModelConfig, num_classes: int | None = None, *, cache: str | None = None) -> nn.Module:
    """A classifier with its weights, in float32 and eval mode, on the CPU.

    Args:
        config: The ``model`` section.
        num_classes: Outputs, unless ``model.kwargs.num_classes`` is set; None: the architecture's default.
        cache: ``data.cache_dir``, where the digits networks' weights are kept.

    Raises:
        XaipruneError: Names the key (``model.name``, ``model.checkpoint``, ...) and what to do.
    """
    if config.name in (HUGGING_FACE, HELP_LLAMA):
        return open_language_model(language_path(config, cache=cache)).model
    if config.name not in TRAINING_RECIPES:
        if config.pretrained is None:
            config = replace(config, pretrained=config.checkpoint is None)
        if config.pretrained:
            _require_weights(config, num_classes)
    model = create(config, num_classes)
    if config.checkpoint is not None:
        load_checkpoint_(model, config.checkpoint)
    elif config.name in TRAINING_RECIPES:
        load_checkpoint_(model, trained_weights(config.name, cache=cache))
    elif not config.pretrained:
        log.warning("%s has random weights, as model.pretrained=false asks for", config.name)
    return model.float().eval()


def language_path(config: ModelConfig, *, cache: str | None = None) -> str:
    """Where a language model lies; ``help_llama`` is trained now if it is not there yet.

    Args:
        config: The ``model`` section.
        cache: ``data.cache_dir``.

    Raises:
        XaipruneError: ``model.path`` is not set.
    """
    if config.name == HELP_LLAMA:
        return str(trained_help_llama(cache=cache))
    if config.path is None:
        raise XaipruneError("model=hf needs model.path=FOLDER (or a name on the hub)")
    return config.path


def create(config: ModelConfig, num_classes: int | None = None) -> nn.Module:
    """The architecture, with timm's weights if ``model.pretrained`` is true, else with random ones.

    Raises:
        XaipruneError: Unknown name, arguments it does not take, or weights that cannot be loaded.
    """
    if config.pruned is not None:
        raise XaipruneError("model.pruned is a pruned network's folder; open it with xaiprune.load_pruned")
    if config.pretrained and config.name in TRAINING_RECIPES:
        raise XaipruneError(f"{config.name} is trained on the spot; leave out model.pretrained")
    kwargs = dict(config.kwargs)
    if num_classes is not None:
        kwargs.setdefault("num_classes", num_classes)
    try:
        with without_retries():
            return timm.create_model(config.name, pretrained=bool(config.pretrained), **kwargs)
    except TypeError as error:
        raise XaipruneError(f"model.kwargs: {config.name} does not take them ({error})") from error
    except (OSError, HfHubHTTPError) as error:
        raise XaipruneError(
            f"cannot download the weights of {config.name} (offline?); {_WAYS_OUT}"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise XaipruneError(f"cannot create model '{config.name}': {reason[:300]}") from error


def _require_weights(config: ModelConfig, num_classes: int | None) -> None:
    """Timm would make up for weights that it does not have by random ones."""
    try:
        found = timm.get_pretrained_cfg(config.name, allow_unregistered=True)
    except RuntimeError:  # no such weights: timm says so when it creates the network
        return
    if found is None or not found.has_weights:
        raise XaipruneError(f"timm has no weights of {config.name}; {_WAYS_OUT}")
    wanted = config.kwargs.get("num_classes", num_classes)
    if wanted not in (None, found.num_classes):
        raise XaipruneError(
            f"timm's weights of {config.name} have {found.num_classes:,} classes, not {wanted:,} "
            f"(model.kwargs.num_classes); {_WAYS_OUT}"
        )
