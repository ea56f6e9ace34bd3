"""The dense network's top-1 on the validation images, measured once a study."""

from __future__ import annotations

import numpy as np
import optuna

from xaiprune.evaluation import Accuracy
from xaiprune.session.session import Context


def dense_accuracy(study: optuna.Study, context: Context) -> Accuracy:
    """Measure it, or take it from the study; the study's fingerprint says that it still holds."""
    stored = study.user_attrs.get("dense")
    if stored is None:
        found = context.dense
        correct = int(found.correct.sum())
        study.set_user_attr("dense", {"correct": correct, "images": found.total, "top1": found.top1})
        return found
    return Accuracy(np.arange(stored["images"]) < stored["correct"])
