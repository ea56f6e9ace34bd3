"""With what a study was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import optuna
import timm
import torch

from xaiprune._version import __version__


def versions() -> dict[str, str | None]:
    """Versions of this program and of what its figures depend on."""
    return {
        "xaiprune": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "optuna": optuna.__version__,
    }


def commit() -> str | None:
    """The git commit of this checkout; None where xaiprune is installed from a wheel, or git is missing."""
    checkout = Path(__file__).resolve().parents[2]
    # An installed package may lie inside somebody else's repository.
    if not (checkout / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
