"""Ridge regression that predicts a consumer's dense input from the channels that the pruned network keeps."""

import torch
from torch import Tensor

from xaiprune.pruning.statistics.moments import Moments, means

# Relative to the mean variance of the kept channels; 0 would fail on dead or repeated channels.
STRENGTHS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_STRONGER = (1.0, 1e2, 1e4, 1e6)
DEFAULT_STRENGTH = STRENGTHS[len(STRENGTHS) // 2]


def ridge_map(moments: Moments, kept: Tensor, ridge: float, centred: bool) -> tuple[Tensor, Tensor]:
    """The change D and constant c with x ~ (P + D) y + c, where P copies each kept channel to its place in x.

    Minimises E|x - (P + D) y - c|^2 + ridge * mean variance of y * |D|^2. A strong ridge therefore leaves the
    kept channels as they are rather than shrinking them.

    Args:
        moments: Of the dense input x and the kept channels of the pruned one, y.
        kept: Kept channels, (K,).
        ridge: Strength, relative to the mean variance.
        centred: Whether there is a constant term.

    Returns:
        D of shape (C, K) and c of shape (C,); c is zero if not centred.
    """
    xy, yy, x, y = means(moments, centred)
    target = xy.clone()
    target[kept] -= yy  # E[(x - P y) y^T]
    # Where nothing before the consumer was pruned, kept rows of x are y: their change is zero.
    target[kept] = torch.where(target[kept].abs() > 1e-12 * yy.abs().max(), target[kept], 0.0)
    change = torch.zeros_like(target)
    rows = target.abs().amax(1) > 0
    change[rows] = _solve(yy, target[rows], ridge)
    constant = torch.zeros_like(x)
    if centred:
        constant = x - change @ y
        constant[kept] -= y
    return change, constant


def choose_ridge(fit: Moments, held: Moments | None, kept: Tensor, centred: bool, gram: Tensor) -> float:
    """The ridge strength with the least error of the consumer's output on the held-out images.

    Args:
        fit: Moments of the other images.
        held: Moments of the held-out images; None: the default strength.
        kept: Kept channels.
        centred: Whether there is a constant term.
        gram: (C, C), sum over outputs and taps of w w^T, so that errors count as they change the output.
    """
    if held is None:
        return DEFAULT_STRENGTH
    errors = [_error(fit, held, kept, ridge, centred, gram) for ridge in STRENGTHS]
    return STRENGTHS[int(torch.tensor(errors).nan_to_num(torch.inf).argmin())]


def _error(fit: Moments, held: Moments, kept: Tensor, ridge: float, centred: bool, gram: Tensor) -> float:
    change, constant = ridge_map(fit, kept, ridge, centred)
    full = change.clone()
    full[kept] += torch.eye(len(kept), dtype=full.dtype, device=full.device)
    xy, yy, x, y = means(held, centred=False)
    # E|x - full y - c|^2 in the gram's metric, without the part that does not depend on them.
    cross = 2 * (gram @ xy * full).sum() + 2 * (gram @ x) @ constant
    square = (gram @ full @ yy * full).sum() + constant @ gram @ constant + 2 * constant @ gram @ full @ y
    return float(square - cross)


def _solve(yy: Tensor, target: Tensor, ridge: float) -> Tensor:
    """target (yy + ridge * mean variance * I)^-1.

    Where that matrix is not positive definite, because the channels hardly vary beside their means and their
    covariances are rounding, a stronger ridge is taken: nothing can be predicted there.
    """
    scale = yy.diagonal().mean().clamp_min(torch.finfo(yy.dtype).tiny)
    identity = torch.eye(len(yy), dtype=yy.dtype, device=yy.device)
    for strength in (ridge, *(strength for strength in _STRONGER if strength > ridge)):
        factor, failed = torch.linalg.cholesky_ex(yy + strength * scale * identity)
        if not int(failed):
            return torch.cholesky_solve(target.T, factor).T
    return torch.zeros_like(target)
