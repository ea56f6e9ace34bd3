"""Trials that are scored by agreement with the dense network, for which validation images need no labels."""

from __future__ import annotations

from dataclasses import replace

from xaiprune.session.labels import predicted
from xaiprune.session.session import PruningSession


def scored_by_agreement(session: PruningSession) -> PruningSession:
    """The session with what the dense network predicts of the validation images in place of their labels.

    The dense network then scores 100 %, and every figure on these images is an agreement with it.

    Args:
        session: Of the dense network; shared, apart from its validation images and what was measured on them.
    """
    images = predicted(session.model, session.validation, session.task, session.batch)
    _ = images.labels  # now: while trials are measured, units of the network may be masked
    return replace(session, validation=images, caches=replace(session.caches, accuracy={}))
