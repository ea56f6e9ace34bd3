"""Windows of text as a split: ids of tokens, and at each position the token that follows as its label."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xaiprune.data.dataset import Dataset
from xaiprune.data.images import Index, LabelledImages, positions
from xaiprune.data.task import Task
from xaiprune.errors import XaipruneError
from xaiprune.forward import IGNORED

SHARES = {"reference": 0.4, "validation": 0.3, "test": 0.3}
"""Parts of a text, from its beginning to its end; windows of different parts share no token."""


@dataclass(frozen=True, repr=False, eq=False)
class TextWindows(LabelledImages):
    """Windows of one length.

    A window is what an image is elsewhere: it is in one split as a whole, and intervals are over windows.

    Attributes:
        ids: (N, T) int64.
        files: A name for each window: its number in the text.
    """

    ids: torch.Tensor
    files: tuple[str, ...]
    noun: str = "window"
    by_class: bool = False
    pictured: bool = False

    def __post_init__(self) -> None:
        if self.ids.dim() != 2 or self.ids.dtype != torch.int64 or self.ids.shape[1] < 2:
            raise XaipruneError(
                f"text must be int64 ids (windows, 2 tokens or more), got {tuple(self.ids.shape)} "
                f"{str(self.ids.dtype).removeprefix('torch.')}"
            )

    @classmethod
    def of(cls, ids: torch.Tensor, name: str = "window") -> "TextWindows":
        """Windows that are numbered from 0."""
        return cls(ids.detach().cpu(), tuple(f"{name} {number}" for number in range(len(ids))))

    @property
    def labels(self) -> torch.Tensor:  # type: ignore[override]  # which the class declares as a variable
        """(N, T) int64: the next token; `IGNORED` at the last position, whose next token is not known."""
        return torch.cat([self.ids[:, 1:], torch.full_like(self.ids[:, :1], IGNORED)], 1)

    @property
    def answers(self) -> int:
        """Labels of a window."""
        return self.ids.shape[1] - 1

    @property
    def measure(self) -> str:
        """What the fraction of right tokens is called."""
        return "next-token top-1"

    @property
    def targets(self) -> str:
        """The next tokens, and of how many windows."""
        return f"the next tokens ({len(self)} windows of {self.window})"

    @property
    def example(self) -> str:
        """A window with its length."""
        return f"window of {self.window} tokens"

    @property
    def window(self) -> int:
        """Tokens of a window, T."""
        return self.ids.shape[1]

    @property
    def chunk(self) -> int:
        """Windows that racing scores together: one, so that each is known by itself."""
        return 1

    @property
    def size(self) -> tuple[int, int]:
        """(1, T)."""
        return 1, self.window

    def __len__(self) -> int:
        return len(self.ids)

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> torch.Tensor:
        """The ids, (n, T) int64."""
        return self.ids[positions(index, len(self))].to(device)

    def pictures(self, index: Index = slice(None)) -> np.ndarray[Any, Any]:
        """There are none.

        Raises:
            XaipruneError: Always.
        """
        raise XaipruneError("a text has no pictures; `xaiprune attribute text=...` shows its tokens")

    def subset(self, index: Index) -> "TextWindows":
        """Only these windows, in the order given."""
        chosen = positions(index, len(self))
        return TextWindows(self.ids[chosen], tuple(self.files[i] for i in chosen.tolist()))

    def fingerprint(self) -> str:
        """Hash of the ids."""
        digest = hashlib.sha256(repr(tuple(self.ids.shape)).encode())
        digest.update(self.ids.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"TextWindows({len(self)} windows of {self.window} tokens)"


def text_task(vocabulary: int) -> Task:
    """To tell which of all tokens is the next."""
    return Task(tuple(map(str, range(vocabulary))))


def text_dataset(
    ids: torch.Tensor,
    window: int,
    vocabulary: int,
    *,
    limits: Mapping[str, int | None] | None = None,
    name: str = "the text",
) -> Dataset:
    """Cut a text into windows: the first for reference, then validation, then test.

    Neighbouring windows continue each other, so the parts are contiguous rather than drawn at random. Tokens
    that fill no window are left out.

    Args:
        ids: (L,) int64, the whole text.
        window: Tokens of a window.
        vocabulary: Tokens that the network tells apart.
        limits: Part -> how many of its windows are taken, evenly spread; None: all.
        name: For messages: the file.

    Raises:
        XaipruneError: The text is too short for a window in each part.
    """
    count = len(ids) // window
    if count < len(SHARES):
        raise XaipruneError(
            f"{name} has {len(ids)} tokens, not enough for {len(SHARES)} windows of {window} (reference, "
            "validation, test); take a longer text, or lower data.window"
        )
    ends = np.cumsum([0, *SHARES.values()])
    bounds = [round(float(end) * count) for end in ends]
    parts = {}
    for part, first, last in zip(SHARES, bounds, bounds[1:], strict=False):
        first, last = min(first, count - 1), max(last, first + 1)
        parts[part] = ids[first * window : last * window]
    return dataset_of_parts(parts, window, vocabulary, limits=limits, name=name)


def dataset_of_parts(
    parts: Mapping[str, torch.Tensor],
    window: int,
    vocabulary: int,
    *,
    limits: Mapping[str, int | None] | None = None,
    name: str = "the text",
) -> Dataset:
    """Cut each part of a text into windows; tokens that fill no window are left out.

    Args:
        parts: Each split -> its ids, (L,) int64.
        window: Tokens of a window.
        vocabulary: Tokens that the network tells apart.
        limits: Split -> how many of its windows are taken, evenly spread; None: all.
        name: For messages: the source.

    Raises:
        XaipruneError: A part is too short for a window.
    """
    splits, first = {}, 0
    for part, ids in parts.items():
        count = len(ids) // window
        if not count:
            raise XaipruneError(
                f"{name} has {len(ids)} tokens for {part}, less than a window of {window}; lower data.window"
            )
        names = tuple(f"window {number}" for number in range(first, first + count))
        whole, limit = TextWindows(ids[: count * window].view(count, window), names), (limits or {}).get(part)
        splits[part] = whole if limit is None else whole.spread(limit)
        first += count
    return Dataset(**splits, task=text_task(vocabulary))
