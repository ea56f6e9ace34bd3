"""Which picture belongs to which split: decided by a hash of its file name and a seed."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xaiprune.data.source import Part, Picture, Source
from xaiprune.errors import XaipruneError

_WHOLE: dict[Part, float] = {"train": 0.6, "validation": 0.2, "test": 0.2}
_HALVES: dict[Part, float] = {"validation": 0.5, "test": 0.5}


@dataclass(frozen=True)
class Pools:
    """The pictures that each split may be chosen from.

    Attributes:
        train: For `xaiprune train`.
        reference: For attribution. May share pictures with ``train``, as in the papers.
        validation: What trials are scored on; in neither of the above.
        test: For the final comparison; in none of the above.
    """

    train: tuple[Picture, ...]
    reference: tuple[Picture, ...]
    validation: tuple[Picture, ...]
    test: tuple[Picture, ...]


def rank(file: str, seed: int | str) -> bytes:
    """A pseudo-random sort key that depends only on the file's name and the seed."""
    return hashlib.blake2b(f"{seed}\0{file}".encode(), digest_size=16).digest()


def by_hash(
    files: Sequence[str], labels: Sequence[int], shares: Mapping[Part, float], *, seed: int
) -> dict[str, Part]:
    """Divide the files of each class into parts.

    Args:
        files: Unique names.
        labels: Class of each file.
        shares: Part -> its share of every class; they sum to 1.
        seed: Other seeds give other divisions.

    Returns:
        File -> part.
    """
    classes = defaultdict(list)
    for file, label in zip(files, labels, strict=True):
        classes[label].append(file)
    parts: dict[str, Part] = {}
    for members in classes.values():
        members.sort(key=lambda file: rank(file, seed))
        start, share = 0, 0.0
        for part, size in shares.items():
            share += size
            end = round(share * len(members))
            parts.update(dict.fromkeys(members[start:end], part))
            start = end
    return parts


def pools(source: Source, seed: int, needed: Sequence[Part] = ("train", "validation", "test")) -> Pools:
    """Divide a source's pictures by the parts that it has.

    Without ``reference``, reference images come from ``train``. If only one of ``validation`` and ``test``
    exists, it is halved, by file and seed. Pictures without parts are divided 60 : 20 : 20 within each class;
    so are those of a source that has only one part. Nothing is divided if all needed parts are there.

    Args:
        source: Its pictures.
        seed: Other seeds give other divisions.
        needed: Parts that are to be taken from this source.
    """
    own = defaultdict(list)
    for picture in source.pictures:
        own[picture.part].append(picture)
    train, reference = own["train"], own["reference"]
    validation, test = own["validation"], own["test"]
    training = train or reference
    there = {"train": training, "reference": training, "validation": validation, "test": test}
    if all(there[part] for part in needed):
        return _pools(train, reference, validation, test)
    held_out = validation or test
    if not training or not held_out:
        if validation and test:  # no train part: take it from validation
            cut = _cut(validation, {"train": 0.5, "validation": 0.5}, seed)
            return _pools(cut["train"], [], cut["validation"], test)
        cut = _cut(list(source.pictures), _WHOLE, seed)
        return _pools(cut["train"], [], cut["validation"], cut["test"])
    if not (validation and test):
        cut = _cut(held_out, _HALVES, seed)
        validation, test = cut["validation"], cut["test"]
    return _pools(train, reference, validation, test)


def pick(
    pictures: Sequence[Picture], per_class: int | None, seed: int, prefix: str = ""
) -> tuple[Picture, ...]:
    """At most ``per_class`` pictures of each class (None: all), shuffled: any first n are a fair sample.

    Args:
        pictures: To choose from.
        per_class: Of each class.
        seed: Other seeds choose others.
        prefix: Of the names that decide, so that a part's folder may lie anywhere.
    """
    chosen: list[Picture] = []
    taken: dict[int, int] = defaultdict(int)
    for picture in sorted(pictures, key=lambda p: rank(prefix + p.file, seed)):
        if per_class is None or taken[picture.label] < per_class:
            taken[picture.label] += 1
            chosen.append(picture)
    # Ordered without the seed: if all are taken, another seed finds the same decoded cache.
    return tuple(sorted(chosen, key=lambda p: rank(prefix + p.file, "order")))


def require_enough(
    pictures: Sequence[Picture], classes: Mapping[int, str], per_class: int | None, part: str, key: str
) -> None:
    """Refuse a part in which a class has fewer pictures than asked for.

    Args:
        pictures: The part's pictures.
        classes: Label -> name of every class of the task.
        per_class: How many are asked for; None asks for at least one.
        part: For the message: ``reference``, ``validation``, ``test`` or ``train``.
        key: The configuration key that asked.
    """
    counts = dict.fromkeys(classes, 0)
    for picture in pictures:
        counts[picture.label] += 1
    label, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest >= (per_class or 1):
        return
    short = sum(count < (per_class or 1) for count in counts.values())
    others = f" (and {short - 1} more classes)" if short > 1 else ""
    if not fewest:
        raise XaipruneError(
            f"class {classes[label]} has no {part} images{others}; add some, leave it out of data.classes, "
            "or set data.task=all"
        )
    raise XaipruneError(
        f"class {classes[label]} has {fewest} {part} images, {per_class} were asked for{others}; "
        f"lower {key} or add images"
    )


def _cut(pictures: list[Picture], shares: Mapping[Part, float], seed: int) -> dict[Part, list[Picture]]:
    parts = by_hash([p.file for p in pictures], [p.label for p in pictures], shares, seed=seed)
    cut: dict[Part, list[Picture]] = {part: [] for part in shares}
    for picture in pictures:
        cut[parts[picture.file]].append(picture)
    return cut


def _pools(
    train: list[Picture], reference: list[Picture], validation: list[Picture], test: list[Picture]
) -> Pools:
    return Pools(
        train=tuple(train or reference),
        reference=tuple(reference or train),
        validation=tuple(validation),
        test=tuple(test),
    )
