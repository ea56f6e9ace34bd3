"""Test suites, for pytest, of what is registered with xaiprune: our own entries pass them, and yours can.

from xaiprune.testing.rules import RuleSuite

class TestMyRule(RuleSuite):
    rules = (MyRule(), MyRule(strength=2.0))
"""

from pkgutil import iter_modules

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
