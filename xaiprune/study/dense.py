"""The dense network's top-1 on the validation images, measured once a study."""

from __future__ import annotations

import optuna

from xaiprune.evaluation import Accuracy
from xaiprune.trial import SearchSetup


def dense_accuracy(study: optuna.Study, setup: SearchSetup) -> Accuracy:
    """Measure it, or take it from the study, whose fingerprint guarantees that it is still right."""
    stored = study.user_attrs.get("dense")
    if stored is not None:
        return Accuracy(stored["correct"], stored["images"])
    found = setup.dense
    study.set_user_attr("dense", {"correct": found.correct, "images": found.total, "top1": found.top1})
    return found
