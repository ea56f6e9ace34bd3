"""Texts with a class each, as a split: ids of tokens, padded to one length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xaiprune.data.images import Index, LabelledImages, positions
from xaiprune.errors import XaipruneError

_NO_PIXELS = "a text has no pixels; `xaiprune attribute text=...` shows its tokens"


@dataclass(frozen=True, repr=False, eq=False)
class LabelledTexts(LabelledImages):
    """Texts of some classes.

    Attributes:
        tensors: What the network takes: ``input_ids`` and ``attention_mask``, (N, T) int64 each.
        labels: (N,) int64, indices into the task's classes.
        files: A name for each text: its row.
    """

    tensors: Mapping[str, Tensor]
    labels: Tensor
    files: tuple[str, ...]
    noun: str = "text"
    pictured: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(1, T)."""
        return 1, self.tensors["input_ids"].shape[1]

    @property
    def example(self) -> str:
        """A text with its length, padding included."""
        return f"text of {self.size[1]} tokens"

    def inputs(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
        """Ids and masks, (n, T) int64 each."""
        chosen = positions(index, len(self))
        return {key: tensor[chosen].to(device) for key, tensor in self.tensors.items()}

    def tensor(self, index: Index = slice(None), device: torch.device | str = "cpu") -> Tensor:
        """There is none: ids alone would leave out what is padding.

        Raises:
            XaipruneError: Always.
        """
        raise XaipruneError(_NO_PIXELS)

    def pictures(self, index: Index = slice(None)) -> np.ndarray:
        """There are none.

        Raises:
            XaipruneError: Always.
        """
        raise XaipruneError(_NO_PIXELS)

    def subset(self, index: Index) -> LabelledTexts:
        """Only these texts, in the order given."""
        chosen = positions(index, len(self))
        files = tuple(self.files[i] for i in chosen.tolist())
        return LabelledTexts(self.inputs(index), self.labels[chosen], files)

    def fingerprint(self) -> str:
        """Hash of ids, masks and labels."""
        digest = hashlib.sha256(repr(self.size).encode())
        for part in (self.labels, *(self.tensors[key] for key in sorted(self.tensors))):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"LabelledTexts({len(self)} texts, {len(self.labels.unique())} classes)"
