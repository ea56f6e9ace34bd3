"""Model names: any of timm's may stand behind ``model=``, without a YAML file of its own."""

from hydra.core.config_store import ConfigStore

from xaiprune.errors import XaipruneError, did_you_mean

DIGITS_NETWORKS = ("digits_vgg", "digits_resnet", "digits_vit")
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


def register_model_option(name: str) -> None:
    """Make ``model=<name>`` an option of Hydra's model group.

    The option lives in Hydra's ConfigStore, so that it works in sweeps and reaches launchers' workers.
    Whether timm knows the name is checked later, with the rest of the configuration.
    """
    ConfigStore.instance().store(group="model", name=name, node={"name": name}, provider="xaiprune")


def check_model_name(name: str) -> None:
    """Refuse a name that neither timm nor the digits networks know.

    Raises:
        XaipruneError: Names the closest valid one.
    """
    if name in DIGITS_NETWORKS or name.startswith(_ELSEWHERE):
        return
    import timm  # seconds; only now that a timm network is really asked for

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        closest = did_you_mean(architecture, [*timm.list_models(), *DIGITS_NETWORKS])
        raise XaipruneError(f"unknown model '{name}'{closest or '; model.name takes any timm model name'}")
    if tag:
        tagged = timm.list_models(f"{architecture}.*", pretrained=True)
        if name not in tagged:
            closest = did_you_mean(name, tagged)
            raise XaipruneError(f"timm has no weights '{tag}' of model '{architecture}'{closest}")
