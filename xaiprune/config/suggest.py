"""The closest valid name, for errors that say what was probably meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``"; did you mean 'prune.rate'?"``, or an empty string where nothing is close."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=cutoff)
    return f"; did you mean '{close[0]}'?" if close else ""
