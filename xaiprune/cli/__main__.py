"""Dispatch ``xaiprune <task> [overrides]``; errors that people can mend are one line, status 2."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

from xaiprune._version import __version__
from xaiprune.errors import XaipruneError

_USAGE = 2  # exit status for input that cannot be used
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task.

    Args:
        argv: What follows ``xaiprune``; None: the process's own arguments.

    Returns:
        The exit status: 0, 2 for input that cannot be used, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except XaipruneError as error:
        print(f"xaiprune: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print("xaiprune: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"xaiprune {__version__}")
        return 0
    task, *rest = arguments
    known = tasks()
    if task not in known:
        from xaiprune.errors import did_you_mean

        closest = did_you_mean(task, known) or f"; there are {', '.join(known)}"
        raise XaipruneError(f"unknown task '{task}'{closest}")
    if task == "search" and not rest:
        raise XaipruneError(
            "search needs to know what to search: 'xaiprune search model=NAME "
            "data.root=FOLDER', or 'xaiprune search experiment=digits_resnet'; --help lists every key"
        )
    if task == "demo":
        return importlib.import_module("xaiprune.cli.demo").main(rest) or 0
    from xaiprune.cli.common.application import run_task

    if task == "studies" and rest and rest[0].isalpha():
        action = f"studies.action={rest[0]}"  # an action reads like a verb: xaiprune studies show NAME
        rest = [*rest[1:2], action, *rest[2:]]
    run_task(task, rest)
    return 0


def tasks() -> dict[str, str]:
    """Every task of this installation and its line of help."""
    from xaiprune.config.tasks import TASKS

    lines = {name: task.help for name, task in TASKS.items()}
    lines["demo"] = "the whole way on handwritten digits, or a language model, in minutes"
    return {name: line for name, line in lines.items() if importlib.util.find_spec(f"xaiprune.cli.{name}")}


def _help() -> str:
    lines = [
        "xaiprune: prune timm classifiers by explaining them, and search for the best explanation",
        "",
        "usage: xaiprune <task> [key=value ...]",
        "",
        *(f"  {name:<10} {line}" for name, line in tasks().items()),
        "",
        "  xaiprune <task> --help       every key of a task and its default",
        "  xaiprune <task> --cfg job    the configuration as it would run",
        "  xaiprune <task> --multirun prune.rate=0.3,0.5    one run for each value",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
