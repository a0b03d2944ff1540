"""What arrays of audio look like to the functions that people call: one check, one message."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.errors import RequestError

_SHOWN_VALUES = 8
"""Most values of an array that are shown."""


def as_frames(frames: ArrayLike, name: str = "frames") -> NDArray[np.float64]:
    """Return audio as float64 of shape (n, channels).

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), floating, full scale ±1.0.
    name
        What messages call it.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, channels).

    Raises
    ------
    RequestError
        Where it is empty, of another shape, holds integers (whose full scale is not known here), or values that are
        no finite numbers.
    """
    array = np.asarray(frames)
    if array.ndim not in (1, 2) or array.size == 0:
        raise RequestError(f"{name}: shape {array.shape} is not (n,) or (n, channels) with at least one frame")
    if array.dtype.kind != "f":
        raise RequestError(f"{name}: {array.dtype} holds no full scale; divide integers by theirs, such as 32768.0")
    array = array[:, None] if array.ndim == 1 else array
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise RequestError(f"{name}: frame {int(np.argmin(finite))} holds a value that is not finite")
    return array.astype(np.float64, copy=False)


def positive(value: float, name: str) -> None:
    """Raise RequestError unless a number is above 0 and finite.

    Parameters
    ----------
    value
        The number.
    name
        What it is, for the message.

    Raises
    ------
    RequestError
        Where it is 0, negative, infinite or nan.
    """
    if not 0 < value < float("inf"):
        raise RequestError(f"{name}: {value!r} is not a number above 0")


class ShowsShapes:
    """A dataclass of arrays whose ``repr`` has their shapes: thousands of numbers help nobody."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = (f"{item.name}={_shown(getattr(self, item.name))}" for item in fields(cast("Any", self)))
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    return repr(value.tolist()) if value.size <= _SHOWN_VALUES else f"<{value.dtype} {value.shape}>"
