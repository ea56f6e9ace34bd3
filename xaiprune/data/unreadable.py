"""What becomes of files that cannot be read as an image."""

import logging
from collections.abc import Mapping
from pathlib import Path

from xaiprune.data.source import Picture
from xaiprune.errors import XaipruneError

log = logging.getLogger(__name__)


class Unreadable:
    """Files that were skipped, for one line in the log at the end.

    Args:
        action: ``data.on_bad_image``: ``error`` or ``skip``.
    """

    def __init__(self, action: str) -> None:
        self._action = action
        self._reasons: dict[str, str] = {}

    def note(self, folder: str, bad: Mapping[Picture, str]) -> None:
        """Remember the files, or refuse the first.

        Args:
            folder: That their names are relative to.
            bad: Picture -> what is wrong with its file.

        Raises:
            XaipruneError: ``action`` is ``error``; names the file.
        """
        for picture, reason in bad.items():
            file = str(Path(folder) / picture.file)
            if self._action == "error":
                raise XaipruneError(
                    f"{file} cannot be read as an image ({reason}); remove it or set data.on_bad_image=skip"
                )
            self._reasons[file] = reason

    def report(self) -> None:
        """Log how many were skipped."""
        if self._reasons:
            first, reason = next(iter(self._reasons.items()))
            count = len(self._reasons)
            log.warning(
                "skipped %d unreadable file%s (first: %s: %s)", count, "s"[: count > 1], first, reason
            )
