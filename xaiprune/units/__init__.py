"""Finds a network's unit layers (filters, neurons, heads) and who consumes each."""

from xaiprune.units.find import KINDS, find_units
from xaiprune.units.layer import UnitKind, UnitLayer

__all__ = ["KINDS", "UnitKind", "UnitLayer", "find_units"]
