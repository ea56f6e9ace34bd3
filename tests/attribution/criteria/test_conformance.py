"""Every registered criterion goes through the suites that users' criteria can go through."""

from __future__ import annotations

import pytest

from xaiprune.attribution.criteria import CRITERIA, criterion
from xaiprune.errors import XaipruneError
from xaiprune.testing.criteria import CriterionSuite, ImageCriterionSuite

WITHOUT_IMAGES = ("random", "magnitude_l1", "magnitude_l2")


class TestCriteriaWithoutImages(CriterionSuite):
    criteria = WITHOUT_IMAGES


class TestCriteriaOfImages(ImageCriterionSuite):
    criteria = tuple(name for name in CRITERIA if name not in WITHOUT_IMAGES)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(XaipruneError, match=r"unknown criterion 'tailor'.*did you mean 'taylor'"):
        criterion("tailor")
