"""Which of the network's outputs each class of a source is, and the task that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

from xaiprune.config import DataConfig
from xaiprune.data import imagenet_labels
from xaiprune.data.source import Source
from xaiprune.data.task import Task
from xaiprune.errors import XaipruneError, did_you_mean

_IMAGENET_OUTPUTS = 1000


@dataclass(frozen=True)
class Labelling:
    """The task, and the label that each of the source's classes has in it.

    Attributes:
        task: What is told apart.
        labels: Source label -> label in the task, without classes that are left out.
    """

    task: Task
    labels: dict[int, int]


def labelling(source: Source, config: DataConfig, outputs: int | None) -> Labelling:
    """Find which output each class is, and the task.

    Args:
        source: Whose classes.
        config: ``label_space``, ``classes`` and ``task``.
        outputs: How many outputs the network has; None if that is not known.

    Raises:
        XaipruneError: The classes do not fit the network, or fit it in two ways.
    """
    space = config.label_space or _guess(source, outputs)
    if space == "imagenet-1k":
        if outputs not in (None, _IMAGENET_OUTPUTS):
            raise XaipruneError(
                f"data.label_space=imagenet-1k needs a network with 1000 outputs, this one has {outputs}; "
                "set data.label_space=folders if its outputs are the class folders in sorted order"
            )
        kept = _restrict(source, config.classes, by_name=True)
        index = {label: imagenet_labels.index_of(source.classes[label]) for label in kept}
        _refuse_duplicates(source, index)
        names = imagenet_labels.wnids()
    else:
        if outputs not in (None, len(source.classes)):
            raise XaipruneError(_mismatch(source, outputs))
        kept = _restrict(source, config.classes, by_name=False)
        index = {label: label for label in kept}
        names = source.classes

    everything = [index[label] for label in kept] == list(range(len(names)))
    if everything or config.task == "all":
        return Labelling(Task(tuple(names)), index)
    task = Task(tuple(source.classes[label] for label in kept), tuple(index[label] for label in kept))
    return Labelling(task, {label: position for position, label in enumerate(kept)})


def _guess(source: Source, outputs: int | None) -> str:
    """The label space if ``data.label_space`` is not set; never silently 0..n-1 for wnids."""
    if not all(imagenet_labels.is_wnid(name) for name in source.classes) or outputs == len(source.classes):
        return "folders"
    if outputs == _IMAGENET_OUTPUTS:
        return "imagenet-1k"
    if outputs is None:
        raise XaipruneError(
            f"the class folders of {source.name} are wnids: set data.label_space=imagenet-1k for a network "
            "with ImageNet's 1000 outputs, data.label_space=folders for one whose outputs are these folders"
        )
    raise XaipruneError(_mismatch(source, outputs))


def _mismatch(source: Source, outputs: int | None) -> str:
    return (
        f"{source.name} has {len(source.classes)} classes, but the network has {outputs} outputs; "
        f"set model.kwargs.num_classes={len(source.classes)} with weights for them, or "
        "data.label_space=imagenet-1k for a network with ImageNet's outputs"
    )


def _restrict(source: Source, wanted: Sequence[str] | None, *, by_name: bool) -> list[int]:
    """Labels of the wanted classes, ascending: the order in which they were typed has no effect."""
    if wanted is None:
        return list(range(len(source.classes)))
    labels = {name: label for label, name in enumerate(source.classes)}
    kept = set()
    for name in wanted:
        if name in labels:
            kept.add(labels[name])
            continue
        if by_name:
            index = imagenet_labels.index_of(name)
            same = [i for i, own in enumerate(source.classes) if imagenet_labels.index_of(own) == index]
            if same:
                kept.add(same[0])
                continue
        closest = did_you_mean(name, source.classes) or f"; there are {', '.join(source.classes[:10])}"
        raise XaipruneError(f"data.classes: {source.name} has no class '{name}'{closest}")
    if len(kept) < 2:
        raise XaipruneError(
            f"data.classes: a task needs at least two classes, got {', '.join(wanted) or 'none'}"
        )
    return sorted(kept)


def _refuse_duplicates(source: Source, index: dict[int, int]) -> None:
    seen: dict[int, str] = {}
    for label, output in index.items():
        if output in seen:
            raise XaipruneError(
                f"class folders {seen[output]} and {source.classes[label]} of {source.name} "
                "are the same ImageNet class"
            )
        seen[output] = source.classes[label]
