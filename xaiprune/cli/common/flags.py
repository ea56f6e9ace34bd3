"""What is short for an override: a study's name alone, and flags that a command line usually has."""

from __future__ import annotations

from collections.abc import Sequence

from xaiprune.config import TASKS, as_override
from xaiprune.errors import XaipruneError

# Task -> flag -> the key that it sets.
FLAGS = {"export": {"--format": "export.format"}}
# Task -> the keys whose values are texts.
TEXTS = {"attribute": ("text", "prompt", "target", "against", "unit")}


def _is_name(argument: str) -> bool:
    """Whether an argument is neither a flag nor an override."""
    return "=" not in argument and not argument.startswith(("-", "+", "~"))


def spelled_out(task: str, arguments: Sequence[str]) -> list[str]:
    """The arguments with each flag of the task as an override: ``--format zennit``, ``export.format=zennit``.

    A first word that is no override names the study, of tasks that read one or take their set-up from one.
    Texts are quoted for Hydra, to which a comma is a sweep, unless they are already or a sweep is wanted.

    Raises:
        XaipruneError: A flag has no value.
    """
    found, waiting = [], list(arguments)
    if waiting and TASKS[task].study in ("reads", "takes") and _is_name(waiting[0]):
        waiting[0] = as_override("study.name", waiting[0])
    sweeps = bool({"-m", "--multirun"} & set(waiting))
    while waiting:
        argument = waiting.pop(0)
        flag, is_given, value = argument.partition("=")
        key = FLAGS.get(task, {}).get(flag)
        is_text = is_given and flag in TEXTS.get(task, ()) and not value.startswith(("'", '"'))
        if is_text and not sweeps:
            found.append(as_override(flag, value))
            continue
        if key is None:
            found.append(argument)
            continue
        if not is_given:
            if not waiting:
                raise XaipruneError(f"{flag} needs a value: {flag} VALUE, or {key}=VALUE")
            value = waiting.pop(0)
        found.append(f"{key}={value}")
    return found
