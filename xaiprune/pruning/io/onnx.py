"""ONNX export, checked against onnxruntime."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.forward import Inputs, as_input, is_text, logits_of

ONNX = "model.onnx"


def export_onnx(model: nn.Module, example: Inputs, folder: str | Path) -> float:
    """Write ``model.onnx`` with a free batch size, and run it.

    Args:
        model: The network, in eval mode, on the CPU.
        example: One input, (1, 3, H, W).
        folder: The folder to write to.

    Returns:
        The largest difference between onnxruntime's logits and torch's over two random images, as a part of
        the largest logit.

    Raises:
        XaipruneError: If the ``onnx`` extra is not installed, the network reads text, returns no logits or
            cannot be exported, or onnxruntime does not run it in its precision.
    """
    if not isinstance(example, Tensor) or is_text(example):
        raise XaipruneError("ONNX is for networks on images here; optimum exports those of transformers")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise XaipruneError(f"ONNX needs {error.name}; pip install 'xaiprune[onnx]'") from error
    images = as_input(model, torch.randn(2, *example.shape[1:]))
    with torch.no_grad():
        expected = logits_of(model(images))
    try:
        with replacing(Path(folder) / ONNX) as path:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    _Logits(model),
                    (images,),
                    str(path),
                    input_names=["images"],
                    output_names=["logits"],
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            try:
                session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
                found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
            except Exception as error:  # its own, which have no common base, and numpy's of bfloat16
                advice = "" if images.dtype == torch.float32 else "; export model.float()"
                raise XaipruneError(
                    f"onnxruntime does not run {type(model).__name__} in {images.dtype} "
                    f"({_line(error)}){advice}"
                ) from error
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise XaipruneError(f"{type(model).__name__} cannot be exported to ONNX: {_line(error)}") from error
    return float((expected - found).abs().max() / expected.abs().max())


class _Logits(nn.Module):
    """The network's logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.model(images))


def _line(error: BaseException) -> str:
    """One line that says what went wrong: torch's exporter wraps it in advice and colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
