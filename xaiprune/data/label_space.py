"""Which of the network's outputs each class folder is, and the task that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

from xaiprune.config import DataConfig
from xaiprune.data import imagenet_labels
from xaiprune.data.pools import Pool
from xaiprune.data.source import Source
from xaiprune.data.task import Task
from xaiprune.errors import XaipruneError, did_you_mean

_IMAGENET_OUTPUTS = 1000


@dataclass(frozen=True)
class Labelling:
    """The task, and the label that each class folder has in it.

    Attributes:
        task: What is told apart.
        labels: Class folder -> label in the task, without classes that are left out.
    """

    task: Task
    labels: dict[str, int]

    @property
    def has_all_outputs(self) -> bool:
        """Whether every output is in the task, so that a class may well have no images here."""
        return self.task.logits is None


@dataclass(frozen=True)
class Classes:
    """The class folders of all splits together.

    Attributes:
        names: Of the classes: the source's order, or sorted where there are several sources.
        where: The folders that they lie in, for messages.
        keys: Class -> the key of the folder that it lies in, and that folder.
        alike: Whether every split has images of the same classes.
        unlabelled: Splits whose images have no labels.
    """

    names: tuple[str, ...]
    where: str
    keys: dict[str, tuple[str, str]]
    alike: bool
    unlabelled: tuple[str, ...]

    @classmethod
    def of(cls, pools: dict[str, Pool]) -> "Classes":
        """Of the splits that there are.

        Args:
            pools: Split -> its pictures.
        """
        sources: dict[str, Source] = {pool.key: pool.source for pool in pools.values()}
        keys: dict[str, tuple[str, str]] = {}
        for key, source in sources.items():
            for name in source.classes:
                keys.setdefault(name, (key, source.name))
        # In one source the order may have a meaning of its own.
        names = tuple(keys) if len(sources) == 1 else tuple(sorted(keys))
        unlabelled = tuple(split for split, pool in pools.items() if pool.pictures and not pool.labelled)
        held = {pool.classes for pool in pools.values() if pool.pictures}
        where = " and ".join(
            source.name if key == "data.root" else f"{source.name} ({key})" for key, source in sources.items()
        )
        return cls(names, where, keys, len(held) <= 1, unlabelled)


def labelling(classes: Classes, config: DataConfig, outputs: int | None) -> Labelling:
    """Find which output each class is, and the task.

    Args:
        classes: The class folders.
        config: ``label_space``, ``classes`` and ``task``.
        outputs: How many outputs the network has; None if that is not known.

    Raises:
        XaipruneError: The classes do not fit the network, or fit it in two ways.
    """
    selects = config.classes is not None or config.task == "classes"
    if selects and classes.unlabelled:
        key = "data.task=classes" if config.classes is None else "data.classes"
        raise XaipruneError(
            f"{key} selects classes, but the {classes.unlabelled[0]} images have no labels; leave it out, "
            "or sort them into class folders"
        )
    space = config.label_space or _guess(classes, outputs)
    if space == "imagenet-1k":
        if outputs not in (None, _IMAGENET_OUTPUTS):
            raise XaipruneError(
                f"data.label_space=imagenet-1k needs a network with 1000 outputs, this one has {outputs}; "
                "set data.label_space=folders if its outputs are the class folders in sorted order"
            )
        kept = _restrict(classes, config.classes, by_name=True)
        index = {name: _index_of(name, classes) for name in kept}
        _refuse_duplicates(classes, index)
        names = imagenet_labels.wnids()
    elif not classes.names:
        if outputs is None:
            raise XaipruneError(
                f"{classes.where} has no class folders, and how many outputs the network has is not "
                "known; sort the images into class folders, or set data.label_space=imagenet-1k"
            )
        return Labelling(Task(tuple(map(str, range(outputs)))), {})
    else:
        if outputs not in (None, len(classes.names)):
            raise XaipruneError(_mismatch(classes, outputs))
        kept = _restrict(classes, config.classes, by_name=False)
        index = {name: label for label, name in enumerate(classes.names) if name in kept}
        names = classes.names

    everything = list(index.values()) == list(range(len(names)))
    # Unlike splits have no few classes in common that could be selected.
    unlike = config.task == "auto" and not selects and not classes.alike
    if everything or config.task == "all" or unlike or not index:
        return Labelling(Task(tuple(names)), index)
    return Labelling(
        Task(tuple(index), tuple(index.values())), {name: label for label, name in enumerate(index)}
    )


def _guess(classes: Classes, outputs: int | None) -> str:
    """The label space if ``data.label_space`` is not set; never silently 0..n-1 for wnids."""
    known = [name for name in classes.names if imagenet_labels.is_wnid(name)]
    if not known or outputs == len(classes.names):
        return "folders"
    if outputs == _IMAGENET_OUTPUTS:  # a folder among wnids that is none of them is refused by its name
        return "imagenet-1k"
    if len(known) < len(classes.names):
        return "folders"
    if outputs is None:
        raise XaipruneError(
            f"the class folders of {classes.where} are wnids: set data.label_space=imagenet-1k for a network "
            "with ImageNet's 1000 outputs, data.label_space=folders for one whose outputs are these folders"
        )
    raise XaipruneError(_mismatch(classes, outputs))


def _mismatch(classes: Classes, outputs: int | None) -> str:
    count = len(classes.names)
    return (
        f"{classes.where} has {count} classes, but the network has {outputs} outputs; "
        f"set model.kwargs.num_classes={count} with weights for them, or "
        "data.label_space=imagenet-1k for a network with ImageNet's outputs"
    )


def _index_of(name: str, classes: Classes) -> int:
    """ImageNet's output of a class folder; an error names the folder and its key."""
    try:
        return imagenet_labels.index_of(name)
    except XaipruneError as error:
        key, folder = classes.keys[name]
        raise XaipruneError(f"{key}: class folder '{name}' in {folder}: {error}") from None


def _restrict(classes: Classes, wanted: Sequence[str] | None, *, by_name: bool) -> list[str]:
    """The wanted classes in their order: that in which they were typed has no effect."""
    if wanted is None:
        return list(classes.names)
    kept = set()
    for name in wanted:
        if name in classes.names:
            kept.add(name)
            continue
        if by_name:
            index = imagenet_labels.index_of(name)
            same = [own for own in classes.names if _index_of(own, classes) == index]
            if same:
                kept.add(same[0])
                continue
        closest = did_you_mean(name, classes.names) or f"; there are {', '.join(classes.names[:10])}"
        raise XaipruneError(f"data.classes: {classes.where} has no class '{name}'{closest}")
    if len(kept) < 2:
        raise XaipruneError(
            f"data.classes: a task needs at least two classes, got {', '.join(wanted) or 'none'}"
        )
    return [name for name in classes.names if name in kept]


def _refuse_duplicates(classes: Classes, index: dict[str, int]) -> None:
    seen: dict[int, str] = {}
    for name, output in index.items():
        if output in seen:
            raise XaipruneError(
                f"class folders {seen[output]} and {name} of {classes.where} are the same ImageNet class"
            )
        seen[output] = name
