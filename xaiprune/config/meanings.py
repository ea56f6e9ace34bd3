"""What each key means, as its schema's docstring says: for ``--help`` and docs/configuration.md."""

import inspect
import re


def meanings(schema: type) -> dict[str, str]:
    """Key -> what the docstring's ``Attributes:`` say of it, on one line."""
    _, _, attributes = (inspect.getdoc(schema) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if opening := re.match(r" {4}(\w+): (.*)", line):
            name, found[opening[1]] = opening[1], opening[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def summary(schema: type) -> str:
    """What the docstring says before its ``Attributes:``, on one line."""
    text = (inspect.getdoc(schema) or "").partition("Attributes:\n")[0]
    return " ".join(text.split())
