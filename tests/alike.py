"""Comparing captions whose numbers may differ in the last digits.

Some processors add up in another order where a batch has more rows.
"""

import math
from dataclasses import fields, is_dataclass


def alike(one: object, other: object) -> bool:
    """Whether both are the same, but for the last digits of numbers in them."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=1e-5)
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return all(alike(getattr(one, name), getattr(other, name)) for name in names)
    return one == other
