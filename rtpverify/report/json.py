"""The result as JSON (schema ``rtpverify.result/1``): strict JSON, in which NaN and infinity are null."""

from __future__ import annotations

import json
import math
from numbers import Integral, Real
from typing import Any

from rtpverify.report.printable import encodable
from rtpverify.result import Result


def render(result: Result) -> str:
    """Return the result as JSON text, indented, with a newline at its end.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        Strict JSON: neither NaN nor infinity.
    """
    return json.dumps(strict(result.to_dict()), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def strict(value: Any) -> Any:
    """Return the value in JSON's own types: numpy's numbers as Python's, what is not finite as None, valid Unicode.

    Parameters
    ----------
    value
        Dictionaries, sequences, texts, numbers, None.

    Returns
    -------
    Any
        In new dictionaries and lists.

    Raises
    ------
    TypeError
        Where anything in it cannot be part of JSON.
    """
    match value:
        case dict():
            return {str(key): strict(item) for key, item in value.items()}
        case list() | tuple():
            return [strict(item) for item in value]
        case None | bool():
            return value
        case str():
            return value if value.isascii() else encodable(value)
        case Integral():
            return int(value)
        case Real():
            return float(value) if math.isfinite(value) else None
    raise TypeError(f"{type(value).__name__} cannot be part of a result: {value!r}")
