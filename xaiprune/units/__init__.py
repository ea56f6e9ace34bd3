"""Finds a network's unit layers (filters, neurons, heads) and who consumes each."""

from xaiprune.units.costs import unit_costs
from xaiprune.units.find import KINDS, find_units
from xaiprune.units.flow import default_example
from xaiprune.units.layer import UnitKind, UnitLayer
from xaiprune.units.links import Links, find_links
from xaiprune.units.reach import Consumer, Reach

__all__ = [
    "KINDS",
    "Consumer",
    "Links",
    "Reach",
    "UnitKind",
    "UnitLayer",
    "default_example",
    "find_links",
    "find_units",
    "unit_costs",
]
