"""The task: which classes are told apart, and which of the network's outputs each of them is."""

from dataclasses import dataclass

import torch

_SHOWN = 3  # classes named in the short form


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        more = ", ..." if len(self.classes) > _SHOWN else ""
        selected = "" if self.logits is None else "; logits selected among the network's outputs"
        return f"Task({len(self.classes)} classes: {', '.join(self.classes[:_SHOWN])}{more}{selected})"

    def select(self, logits: torch.Tensor) -> torch.Tensor:
        """Pick the classes' logits.

        Args:
            logits: (N, outputs), as the network gives them.

        Returns:
            (N, classes). Other outputs are left out, not set to zero: zero could be the largest.
        """
        if self.logits is None:
            return logits
        return logits[:, torch.as_tensor(self.logits, device=logits.device)]

    def targets(self, labels: torch.Tensor) -> torch.Tensor:
        """The network's output index of each label: (N,) int64 -> (N,) int64."""
        if self.logits is None:
            return labels
        return torch.as_tensor(self.logits, device=labels.device)[labels]
