"""The exception that people see: a single line that names what is wrong and the way out."""

import difflib
from collections.abc import Iterable


class XaipruneError(ValueError):
    """Input that cannot be used.

    The message is one line, names the file, key or layer, and says what to do. The command line
    prints it without a traceback and exits with status 2.
    """


class UnsupportedOperation(XaipruneError):
    """A network does something the LRP engine has no rule for; the message names op and module."""


def did_you_mean(name: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``"; did you mean 'prune.rate'?"``, or an empty string where nothing is close."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=cutoff)
    return f"; did you mean '{close[0]}'?" if close else ""
