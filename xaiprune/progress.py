"""Progress bars, only on a terminal and only for what takes longer than two seconds."""

import time
from collections.abc import Generator, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
PATIENCE = 2.0  # seconds without a bar
_taken: list[None] = []  # one for each bar that may be shown now


def progress(
    items: Iterable[T], description: str, *, total: int | None = None, console: Console | None = None
) -> Generator[T, None, None]:
    """Iterate over ``items``, with a bar on stderr once two seconds have passed.

    Of several that are inside each other only the outermost is shown (`only_bar`).

    Args:
        items: What to iterate over.
        description: Left of the bar, for example ``"decoding"``.
        total: Number of items, if they have no ``len``.
        console: Where to draw (None: stderr). Nothing is drawn unless it is a terminal.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal or _taken:
        yield from items
        return
    with only_bar():
        yield from _with_bar(items, description, total, console)


@contextmanager
def only_bar() -> Iterator[None]:
    """No `progress` inside this shows a bar: there is one already."""
    _taken.append(None)
    try:
        yield
    finally:
        _taken.pop()


def _with_bar(items: Iterable[T], description: str, total: int | None, console: Console) -> Iterator[T]:
    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(description, total=total)
    started = time.monotonic()
    shown = False
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not shown and time.monotonic() - started > PATIENCE:
                bar.start()
                shown = True
    finally:
        if shown:
            bar.stop()
