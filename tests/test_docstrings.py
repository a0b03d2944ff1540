"""The check of docstrings finds what it is for: it must be able to fail."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("numpydoc")
ROOT = Path(__file__).parents[1]
CHECKS = frozenset({"GL08", "PR01", "RT01"})


@pytest.fixture(scope="module")
def tool():
    import importlib.util

    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "tools" / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(x: NDArray[np.float64]) -> float:
    """Return the mean.

    Parameters
    ----------
    x
        Shape (n,).

    Returns
    -------
    float
        The mean.

    Raises
    ------
    ValueError
        Where there is none.
    """
    if len(x) == 0:
        raise ValueError("x: empty")
    return float(x.mean())


def without_shape(x: NDArray[np.float64]) -> float:
    """Return the mean.

    Parameters
    ----------
    x
        Numbers.
    """
    if len(x) == 0:
        raise ValueError("x: empty")
    return float(x.mean())


def undescribed(x: float) -> float:
    """Return twice as much."""
    return 2 * x


@pytest.mark.parametrize(
    ("function", "codes"),
    [(described, []), (without_shape, ["RS01", "RT01", "SH01"]), (undescribed, ["PR01", "RT01"])],
)
def test_what_is_missing_is_named(tool, function, codes):
    found = tool.errors_of(f"{__name__}.{function.__name__}", function, CHECKS)
    assert sorted(code for code, _ in found) == codes


def test_public_objects_of_a_package_are_found(tool):
    names = {name for name, _ in tool.public_objects("rtpverify.media")}
    assert {"rtpverify.media.timeline.Timeline", "rtpverify.media.timeline.Timeline.write"} <= names
    assert not [name for name in names if "._" in name]
