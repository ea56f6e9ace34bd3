"""The device to compute on."""

import warnings

import torch

from xaiprune.errors import XaipruneError


def device_of_worker(name: str, worker: int | None) -> str:
    """``auto`` for one of several processes: a GPU for each, shared in turn if there are fewer.

    Args:
        name: As `resolve_device` takes it; anything but ``auto`` is returned as it is.
        worker: Number of this process; None: there is only one.
    """
    if name != "auto" or worker is None or not _has_cuda():
        return name
    return f"cuda:{worker % torch.cuda.device_count()}"


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device for ``device=...``.

    Args:
        name: ``auto`` (CUDA, else Apple's MPS, else CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        XaipruneError: There is no such device.
    """
    if name == "auto":
        if _has_cuda():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise XaipruneError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name}") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if _has_cuda() else 0
        if (device.index or 0) >= count:
            raise XaipruneError(
                f"device={name} is not there: torch sees {count} CUDA devices; try device=auto"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise XaipruneError(
            "device=mps is not there: torch was built without it or sees none; try device=auto"
        )
    return device


def _has_cuda() -> bool:
    """Whether torch can use a GPU; why it cannot (a driver that is too old) is not said at each start."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="CUDA initialization")
        return torch.cuda.is_available()
