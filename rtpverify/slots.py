"""Places that streams take and give back: the next free index, or one whose stream was removed."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def put(items: list[Item], index: int, item: Item) -> None:
    """Set an item of a list, or append it where ``index`` is the next one."""
    if index == len(items):
        items.append(item)
    else:
        items[index] = item


def put_value(array: NDArray[Any], index: int, value: float) -> NDArray[Any]:
    """Return an array, shape (n,), with a value set, or appended where ``index`` is ``n``; the dtype stays."""
    if index == len(array):
        return np.append(array, np.array([value], array.dtype))
    array[index] = value
    return array
