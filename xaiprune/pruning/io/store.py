"""A pruned network as a folder: safetensors, JSON and a card; nothing is unpickled."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xaiprune.config import HUGGING_FACE, ModelConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import compact_json, replacing, replacing_folder
from xaiprune.models import Origin, create, description_of, network_of, write_for_transformers
from xaiprune.pruning.io.card import card
from xaiprune.pruning.plan import Plan, plan_from_dict
from xaiprune.pruning.removal import replace_attention_

SCHEMA = "xaiprune/pruned/1"
WEIGHTS, PLAN, CARD = "model.safetensors", "plan.json", "card.md"


def save_pruned(
    model: nn.Module,
    folder: str | Path,
    *,
    architecture: str,
    kwargs: Mapping[str, Any] | None = None,
    plan: Plan,
    replaced: Sequence[str] = (),
    numbers: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    origin: Origin | None = None,
    card_name: str = CARD,
    further: Mapping[str, str] | None = None,
) -> Path:
    """Write a pruned network, so that `load_pruned` opens it with timm alone.

    Everything is written to a temporary folder first, which then takes the final name.

    Args:
        model: The smaller network.
        folder: The folder to write. A pruned network that is already there is replaced.
        architecture: timm's (or the digits networks') name of the dense network; ``hf``: a language model of
            transformers, which transformers alone opens, too, where all widths are equal.
        kwargs: Further arguments of ``timm.create_model`` (``num_classes``, ``img_size``).
        plan: The plan that was applied.
        replaced: Attention modules that removal replaced (``Removal.replaced``).
        numbers: Name -> number or text for the card.
        notes: Sentences for the card.
        origin: What the card says of the dense network's weights; None: nothing is known.
        card_name: File name of the card.
        further: Further text files: name -> content.

    Returns:
        The folder.

    Raises:
        XaipruneError: If the folder holds something else, or the network would not load back the same.
    """
    folder = Path(folder)
    check_folder(folder)
    kwargs = dict(kwargs or {})
    if architecture == HUGGING_FACE:
        kwargs = kwargs or description_of(model)
        _refuse_own_configurations(model)
    fresh = _build(architecture, kwargs, replaced, PLAN)
    content = {
        "schema": SCHEMA,
        "architecture": architecture,
        "kwargs": kwargs,
        "replaced": list(replaced),
        "sizes": _changed_sizes(fresh, model),
        "plan": json.loads(plan.to_json()),
        "numbers": dict(numbers or {}),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in _tensors(model, fresh).items()
    }
    library = "xaiprune"
    with replacing_folder(folder) as unfinished:
        if architecture == HUGGING_FACE:
            zeros = write_for_transformers(model, unfinished)
            library, tensors = "xaiprune" if zeros is None else "transformers", tensors | (zeros or {})
        with replacing(unfinished / WEIGHTS) as path:  # safetensors' own files are for their owner only
            save_file(tensors, path, metadata={"format": "pt"})
        (unfinished / PLAN).write_text(compact_json(content) + "\n")
        about = card(folder.name, content, plan, notes, origin=origin or Origin(), library=library)
        (unfinished / card_name).write_text(about, encoding="utf-8")
        for name, text in (further or {}).items():
            (unfinished / name).write_text(text, encoding="utf-8")
        _check_same(load_pruned(unfinished), tensors)
    return folder


def load_pruned(folder: str | Path) -> nn.Module:
    """Open a pruned network: eval mode, on the CPU.

    Args:
        folder: As `save_pruned` wrote it.

    Raises:
        XaipruneError: If a file is missing, truncated, or of another version.
    """
    folder = Path(folder)
    content = _read_content(folder)
    try:
        name, kwargs = str(content["architecture"]), dict(content["kwargs"])
        replaced, sizes = list(content["replaced"]), dict(content["sizes"])
    except (KeyError, TypeError, ValueError) as error:
        raise XaipruneError(f"{folder / PLAN} is not complete ({error!r}); save the network again") from error
    model = _build(name, kwargs, replaced, str(folder / PLAN))
    _set_sizes_(model, sizes, folder)
    _set_tensors_(model, _read_tensors(folder / WEIGHTS), folder)
    if name == HUGGING_FACE:
        model.tie_weights()  # type: ignore[operator]
    return model.eval()


def load_pruned_plan(folder: str | Path) -> Plan:
    """The plan that a pruned network was made with.

    Raises:
        XaipruneError: As `load_pruned`.
    """
    path = Path(folder) / PLAN
    return plan_from_dict(_read_content(Path(folder)).get("plan"), str(path))


def architecture_of(folder: str | Path) -> tuple[str, dict[str, Any], list[str]]:
    """Name, arguments and replaced attention modules of a pruned network, to save it again.

    Raises:
        XaipruneError: As `load_pruned`.
    """
    content = _read_content(Path(folder))
    return str(content["architecture"]), dict(content["kwargs"]), list(content["replaced"])


def _read_content(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise XaipruneError(f"{folder}: no such folder; 'xaiprune prune' writes pruned networks")
    for name in (PLAN, WEIGHTS):
        if not (folder / name).is_file():
            raise XaipruneError(f"{folder} has no {name}; it is no pruned network, or was not fully copied")
    try:
        content = json.loads((folder / PLAN).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise XaipruneError(f"{folder / PLAN} cannot be read ({error}); copy the folder again") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise XaipruneError(
            f"{folder / PLAN} has schema {schema!r}, this version reads {SCHEMA!r}; update xaiprune"
        )
    return content


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise XaipruneError(f"{path} is damaged ({error}); copy the folder again") from error


def _build(name: str, kwargs: dict[str, Any], replaced: Sequence[str], source: str) -> nn.Module:
    """The dense architecture, with the attention modules replaced that are replaced in the pruned network."""
    try:
        if name == HUGGING_FACE:
            model = network_of(kwargs)
        else:
            model = create(ModelConfig(name=name, kwargs=kwargs)).eval()
    except XaipruneError as error:
        raise XaipruneError(f"{source}: {error}") from error
    for module in replaced:
        replace_attention_(model, module)
    return model


def _refuse_own_configurations(model: nn.Module) -> None:
    """Attention that reads its number of heads from a configuration has its own once heads are removed."""
    whole = model.config.get_text_config().num_attention_heads  # type: ignore[union-attr,operator]
    for name, module in model.named_modules():
        if getattr(vars(module).get("config"), "num_attention_heads", whole) != whole:
            raise XaipruneError(
                f"{name} ({type(module).__name__}) has fewer heads than the configuration says, which a "
                "folder cannot keep for this class; set units=neurons"
            )


def _changed_sizes(fresh: nn.Module, model: nn.Module) -> dict[str, dict[str, Any]]:
    """Module -> its numbers (``out_channels``, ``num_heads``, ...) that differ from the dense network's."""
    modules = dict(fresh.named_modules())
    if set(modules) != {name for name, _ in model.named_modules()}:
        raise XaipruneError("the network has other modules than its architecture; it cannot be saved by name")
    changed: dict[str, dict[str, Any]] = {}
    for name, module in model.named_modules():
        before = modules[name].__dict__
        for key, value in module.__dict__.items():
            if _is_size(value) and before.get(key, value) != value and key != "training":
                changed.setdefault(name, {})[key] = list(value) if isinstance(value, tuple) else value
    return changed


def _is_size(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, int) for part in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _set_sizes_(model: nn.Module, sizes: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    modules = dict(model.named_modules())
    for name, values in sizes.items():
        for key, value in values.items():
            new = tuple(value) if isinstance(value, list) else value
            if name not in modules or not _is_size(getattr(modules[name], key, None)) or not _is_size(new):
                raise XaipruneError(
                    f"{folder / PLAN}: {name}.{key} is not a size of this architecture; "
                    "the installed timm may differ from the one it was saved with"
                )
            setattr(modules[name], key, new)


def _tensors(model: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """The state, and the buffers that are no part of it whose sizes differ from the dense network's."""
    before, state = dict(fresh.named_buffers()), model.state_dict()
    return state | {
        name: buffer
        for name, buffer in model.named_buffers()
        if name not in state and name in before and before[name].shape != buffer.shape
    }


def _set_tensors_(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Give every parameter and buffer its saved tensor, whatever shape it had before."""
    missing = sorted(set(model.state_dict()) - set(tensors))
    if missing:
        raise XaipruneError(f"{folder / WEIGHTS} lacks {missing[0]} ({len(missing)} tensors); copy it again")
    for name, tensor in tensors.items():
        module_name, _, leaf = name.rpartition(".")
        try:
            module = model.get_submodule(module_name)
        except AttributeError as error:
            raise XaipruneError(f"{folder / WEIGHTS}: {name} is not in this architecture") from error
        if leaf in module._buffers:
            module._buffers[leaf] = tensor
        elif leaf in module._parameters:
            module._parameters[leaf] = nn.Parameter(tensor, requires_grad=tensor.is_floating_point())
        else:
            raise XaipruneError(f"{folder / WEIGHTS}: {name} is not in this architecture")


def _check_same(loaded: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    state = loaded.state_dict()
    state |= {name: buffer for name, buffer in loaded.named_buffers() if name in tensors}
    if set(state) != set(tensors) or any(not torch.equal(state[name], tensors[name]) for name in tensors):
        raise XaipruneError("the pruned network does not load back as it was saved; nothing was written")


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that `save_pruned` would not write to; call it before long work, not after it.

    Raises:
        XaipruneError: If it is a file, or a folder that holds something other than a pruned network.
    """
    folder = Path(folder)
    if folder.is_file():
        raise XaipruneError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WEIGHTS).is_file():
        raise XaipruneError(f"{folder} holds other things; name a new folder")
