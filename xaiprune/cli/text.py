"""How figures are written for people."""

from collections.abc import Iterable

from xaiprune.evaluate import Accuracy


def percent(accuracy: Accuracy) -> str:
    """``"67.2 % (64.5 to 69.8, 1200 images)"``: top-1 with its 95 % interval."""
    low, high = accuracy.interval()
    return f"{100 * accuracy.top1:.1f} % ({100 * low:.1f} to {100 * high:.1f}, {accuracy.total} images)"


def millions(count: float) -> str:
    """``"11.69 M"``, with enough digits for small networks."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e6:.4f} M"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, the first as wide as its longest entry."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)
