"""Calls that are well known, and what they do with the functions that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Done with a function when they return: nothing keeps it.
EAGER = frozenset(
    {"apply", "applymap", "map", "agg", "aggregate", "transform", "pipe", "assign", "sort_values", "rename", "groupby"}
    | {"filter", "replace", "sub", "sort", "print", "len", "sum", "any", "all", "min", "max", "str", "repr", "round"}
    | {"isinstance", "abs", "reduce", "map_elements", "map_batches", "head", "describe"}
)
# They use up what is lazy.
CONSUMERS = frozenset(
    {"list", "tuple", "set", "dict", "sorted", "sum", "any", "all", "min", "max", "frozenset", "join"}
    | {"array", "Series", "DataFrame", "OrderedDict", "Counter", "deque", "extend", "update", "fromkeys", "fromiter"}
    | {"concat", "concatenate", "stack", "hstack", "vstack", "mean", "median", "fsum", "prod"}
)
LAZY = frozenset({"map", "filter", "groupby"})
# Decorators that call nothing when they decorate.
TAME = frozenset(
    {"dataclass", "staticmethod", "classmethod", "property", "cache", "lru_cache", "njit", "jit", "total_ordering"}
    | {"wraps"}
)
# Their `map`, `filter` and the like only note what is to be done.
_LAZY_LIBRARIES = re.compile(r"\b(?:pyspark|SparkContext|sparkContext|spark|dask|apache_beam|ray|torchdata|streamz)\b")
_OF_OBJECTS = frozenset(
    {"apply", "applymap", "map", "agg", "aggregate", "transform", "pipe", "assign", "groupby", "filter", "reduce"}
    | {"map_elements", "map_batches"}
)
_DEFINED = re.compile(r"\bdef\s+(\w+)")


def kept(sources: Iterable[str]) -> frozenset[str]:
    """Calls that may keep the functions given to them in this notebook: its own of such a name, and lazy libraries'."""
    found: set[str] = set()
    for source in sources:
        found.update(EAGER.intersection(_DEFINED.findall(source)))
        if "import" in source and _LAZY_LIBRARIES.search(source):
            found |= _OF_OBJECTS
    return frozenset(found)
