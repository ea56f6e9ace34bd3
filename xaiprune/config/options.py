"""Options of groups that need no YAML file: any timm model, and whatever is registered."""

from hydra.core.config_store import ConfigStore

from xaiprune.config.schema import ModelConfig
from xaiprune.config.timm_names import is_model, registered
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.registry import OBJECTIVES, SOURCES, UNIT_KINDS

DIGITS_NETWORKS = ("digits_vgg", "digits_resnet", "digits_vit")
HUGGING_FACE = "hf"  # a language model of transformers, which model.path has
HELP_LLAMA = "help_llama"  # one that is trained on the spot
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")
# Group -> the key that its option sets, and what the option may be.
_REGISTERED = {
    "data": ("source", SOURCES),
    "units": ("kind", UNIT_KINDS),
    "objective": ("name", OBJECTIVES),
}


def register_option(group: str, name: str) -> bool:
    """Make ``<group>=<name>`` an option of a group, if it can be one without a YAML file.

    The option lives in Hydra's ConfigStore, so that it works in sweeps and reaches launchers' workers.
    Whether timm has a model is checked later, with the rest of the configuration.

    Returns:
        Whether it is an option now.
    """
    key, registry = _REGISTERED.get(group, ("name", {}))
    if group != "model" and name not in registry:
        return False
    ConfigStore.instance().store(group=group, name=name, node={key: name}, provider="xaiprune")
    return True


def is_language(model: ModelConfig) -> bool:
    """Whether a network reads text; of a pruned one, ``model.path`` (its tokenizer's) says so."""
    return model.name in (HUGGING_FACE, HELP_LLAMA) or model.path is not None


def check_model_name(name: str) -> None:
    """Refuse a name that neither timm nor the digits networks have.

    Raises:
        XaipruneError: Names the closest valid one.
    """
    if name in (*DIGITS_NETWORKS, HUGGING_FACE, HELP_LLAMA) or name.startswith(_ELSEWHERE):
        return
    architecture, _, tag = name.partition(".")
    if not is_model(architecture):
        closest = did_you_mean(architecture, [*sorted(registered()), *DIGITS_NETWORKS, HELP_LLAMA])
        raise XaipruneError(f"unknown model '{name}'{closest or '; model.name takes any timm model name'}")
    if tag:
        import timm  # takes seconds

        tagged = timm.list_models(f"{architecture}.*", pretrained=True)
        if name not in tagged:
            closest = did_you_mean(name, tagged)
            raise XaipruneError(f"timm has no weights '{tag}' of model '{architecture}'{closest}")
