"""The task: which classes there are to tell apart, and which of the network's outputs is which."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Task:
    """Classes, and their logits among the network's outputs.

    Attributes:
        classes: Names as the data source has them (class folders, digits), in label order.
        logits: Output index of each class; None: output i is class i.
    """

    classes: tuple[str, ...]
    logits: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.logits is not None and len(self.logits) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes, but {len(self.logits)} logits")

    def select(self, logits: torch.Tensor) -> torch.Tensor:
        """Pick the classes' logits.

        Args:
            logits: (N, outputs), as the network gives them.

        Returns:
            (N, classes). Other outputs are left out, never zeroed: a zero could win.
        """
        if self.logits is None:
            return logits
        return logits[:, torch.as_tensor(self.logits, device=logits.device)]

    def targets(self, labels: torch.Tensor) -> torch.Tensor:
        """The network's output index of each label: (N,) int64 -> (N,) int64."""
        if self.logits is None:
            return labels
        return torch.as_tensor(self.logits, device=labels.device)[labels]
