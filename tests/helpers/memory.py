"""How much memory an object holds, with all that it refers to."""

import gc
import sys
from types import FunctionType, ModuleType


def held_bytes(item: object) -> int:
    """Return the bytes of an object and of everything that only data leads to from there, each counted once."""
    seen: dict[int, object] = {}
    rest = [item]
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen[id(one)] = one
        rest += gc.get_referents(one)
    return sum(sys.getsizeof(one) for one in seen.values())
