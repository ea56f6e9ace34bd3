"""Search spaces: read from YAML, reduced to what matters on one network, sampled, and inverted."""

from xaiprune.space.around import CENTRE
from xaiprune.space.inverse import NotInSpace, params_of
from xaiprune.space.named import search_space
from xaiprune.space.reader import read_space
from xaiprune.space.reduce import reached, reduce
from xaiprune.space.sample import suggest
from xaiprune.space.space import Space

__all__ = [
    "CENTRE",
    "NotInSpace",
    "Space",
    "params_of",
    "reached",
    "read_space",
    "reduce",
    "search_space",
    "suggest",
]
