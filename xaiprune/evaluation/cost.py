"""What a network costs: parameters, MACs, latency, bytes."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from xaiprune.forward import Inputs, as_input, explained, part_of, run, without_masks
from xaiprune.progress import progress


@dataclass(frozen=True)
class Latency:
    """Time of one forward.

    Attributes:
        batch: Images in it.
        threads: CPU threads used.
        device: As torch names it: ``cpu``, ``cuda:0``.
        median: Of the repetitions, seconds.
        iqr: Interquartile range of the repetitions, seconds.
    """

    batch: int
    threads: int
    device: str
    median: float
    iqr: float

    def __str__(self) -> str:
        where = self.device
        if where == "cpu":
            where += f", {self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.median * 1e3:.2f} ms (IQR {self.iqr * 1e3:.2f}) at batch {self.batch} on {where}"


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        params: Learned parameters.
        macs: Multiply-accumulates of one image in convolutions, linear layers and attention (half of what
            torch's flop counter calls FLOPs).
        bytes: Size of all parameters and buffers as saved.
        latency: One entry a batch size that was timed.
    """

    params: int
    macs: int
    bytes: int
    latency: tuple[Latency, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.params / 1e6:.2f} M params, {self.macs / 1e9:.3f} GMACs, {self.bytes / 2**20:.1f} MiB"
        return "; ".join([text, *map(str, self.latency)])


def cost(model: nn.Module, example: Inputs, batches: Sequence[int] = (), min_seconds: float = 1.0) -> Cost:
    """Count a network's parameters, MACs and bytes, and time it at the batch sizes that are given.

    Args:
        model: The network, in eval mode.
        example: One input (1, 3, H, W); only its shape matters.
        batches: Batch sizes to time; none by default, because timing takes seconds.
        min_seconds: Time to measure for, for each batch size.
    """
    state = model.state_dict()
    return Cost(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=macs(model, example),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in state.values()),
        latency=tuple(latency(model, example, batch, min_seconds) for batch in progress(batches, "timing")),
    )


def macs(model: nn.Module, example: Inputs) -> int:
    """Multiply-accumulates of one image, counted on the meta device (nothing is computed)."""
    shadow = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _no_fused_attention(), counter:
        # transformers looks into masks, which have no values there; they change no count.
        one = without_masks(part_of(example, slice(0, 1)))
        one = tree_map(lambda tensor: tensor.to("meta"), one)
        run(shadow, as_input(shadow, one))
    return int(counter.get_total_flops()) // 2


@contextmanager
def _no_fused_attention() -> Iterator[None]:
    """Switch off torch's fused encoder kernels, which the counter does not see."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def latency(model: nn.Module, example: Inputs, batch: int = 1, min_seconds: float = 1.0) -> Latency:
    """Time a forward with ``torch.utils.benchmark`` (warmed up, synchronised, on torch's threads).

    Args:
        model: The network, in eval mode.
        example: One input (1, 3, H, W); only its shape matters.
        batch: Images in a forward.
        min_seconds: Time to measure for.
    """
    # Imported here: the import looks for a compiler and CUDA, and may log that there is none.
    from torch.utils.benchmark import Timer

    one = as_input(model, part_of(example, slice(0, 1)))
    images = tree_map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]).contiguous(), one)
    device = next(tensor.device for tensor in explained(one).values())
    timer = Timer(
        "run(model, images)",
        globals={"run": run, "model": model, "images": images},
        num_threads=torch.get_num_threads(),
    )
    with torch.inference_mode():
        run(model, images)
        times = timer.blocked_autorange(min_run_time=min_seconds)
    return Latency(batch, torch.get_num_threads(), str(device), times.median, times.iqr)
