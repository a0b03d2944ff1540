"""Shares of a capture, put together, are what one verifier finds: events and counts exactly, figures to 1e-9."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.share import Share, merged
from rtpverify.engine.verifier import Verifier
from rtpverify.result import Result
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.many import FAULTS, arrivals


@pytest.fixture(scope="module")
def found() -> Callable[[Share], Result]:
    batches = arrivals("L24/48000/2")

    @cache
    def found(share: Share) -> Result:
        spec = StreamSpec(encoding=parse_rtpmap("L24/48000/2"), reference=parse_reference("tone:1283"))
        verifier = Verifier([spec], share=share)
        for batch in batches:
            verifier.feed(batch)
        verifier.finish()
        return pickle.loads(pickle.dumps(verifier.result("capture.pcap")))  # noqa: S301 - as between processes

    return found


def assert_same(one: Any, other: Any, place: str = "") -> None:
    if isinstance(one, float) and isinstance(other, float):
        assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300), f"{place}: {one!r}, {other!r}"
    elif isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), place
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, its, f"{place}[{number}]")
    else:
        assert one == other, place


@pytest.mark.parametrize("of", [2, 3])
def test_shares_put_together_are_the_whole(found: Callable[[Share], Result], of: int) -> None:
    whole = found(Share())
    assert len(whole.streams) == len(FAULTS)
    assert {str(event.kind) for stream in whole.streams for event in stream.events} >= {
        "gap", "click", "slip", "dropout", "gain", "noise",
    }  # fmt: skip
    parts = [found(Share(number, of)) for number in range(of)]
    assert_same(whole.to_dict(), merged(parts).to_dict())
    events = [len(stream.events) for stream in whole.streams]
    assert any([len(stream.events) for stream in part.streams] != events for part in parts)  # none had it all


def test_a_share_of_no_stream_knows_all_of_them_and_checks_none(found: Callable[[Share], Result]) -> None:
    part = found(Share(10, 11))
    assert part.checked == (False,) * len(FAULTS)
    assert not any(stream.signal for stream in part.streams)
    assert all(stream.transport and stream.transport.packets_received for stream in part.streams)


def test_what_are_no_shares_of_one_capture_is_refused(found: Callable[[Share], Result]) -> None:
    first, second = found(Share(0, 2)), found(Share(1, 2))
    with pytest.raises(ValueError, match="stream 1 was checked by 2 shares"):
        merged([first, first])
    with pytest.raises(ValueError, match="stream 2 was checked by 0 shares"):
        merged([first])
    second = replace(second, streams=[replace(second.streams[0], sender="192.0.2.99:5004"), *second.streams[1:]])
    with pytest.raises(ValueError, match="different streams"):
        merged([first, second])
