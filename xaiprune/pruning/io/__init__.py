"""Pruned networks on disk: a folder that opens again without pickle, its card, and ONNX."""

from xaiprune.pruning.io.onnx import ONNX, export_onnx
from xaiprune.pruning.io.store import (
    architecture_of,
    check_folder,
    load_pruned,
    load_pruned_plan,
    save_pruned,
)

__all__ = [
    "ONNX",
    "architecture_of",
    "check_folder",
    "export_onnx",
    "load_pruned",
    "load_pruned_plan",
    "save_pruned",
]
