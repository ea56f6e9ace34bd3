"""The dense network's top-1 on the validation images (of text also perplexity), measured once a study."""

from __future__ import annotations

import numpy as np
import optuna

from xaiprune.evaluation import Accuracy, TokenAccuracy
from xaiprune.trial import SearchSetup


def dense_accuracy(study: optuna.Study, setup: SearchSetup) -> Accuracy:
    """Measure it, or take it from the study, whose fingerprint guarantees that it is still right."""
    stored = study.user_attrs.get("dense")
    if stored is not None:
        if "loss" not in stored:
            return Accuracy(stored["correct"], stored["images"], noun=setup.session.validation.noun)
        answers = setup.session.validation.answers
        return TokenAccuracy.of_windows(np.array(stored["right"]), np.array(stored["loss"]), answers)
    found = setup.dense
    noted = {"correct": found.correct, "images": found.total, "top1": found.top1}
    if isinstance(found, TokenAccuracy):
        assert found.per_image is not None
        noted |= {"right": found.per_image.tolist(), "loss": found.loss.tolist()}
        noted |= {"perplexity": found.perplexity, "images": len(found.loss), "window": found.answers + 1}
    study.set_user_attr("dense", noted)
    return found
