from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.daemon.nats.subjects import Subject, message_id, revision_in, subject, token

ANY_NAME = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


def test_names_that_mean_something_to_nats_are_written_out() -> None:
    assert subject(Subject.EVENT, "north", "bench-1", "a.1 *>") == "rtpverify.event.north.bench-1.a%2E1%20%2A%3E"
    assert subject(Subject.BENCH, "north", "bench-1") == "rtpverify.bench.north.bench-1"
    assert subject(Subject.EVENT, "north") == "rtpverify.event.north.>"
    assert subject(Subject.STATE) == "rtpverify.state.>"


@given(ANY_NAME, ANY_NAME)
def test_a_name_is_one_part_and_no_other_name_is_the_same(one: str, other: str) -> None:
    part = token(one)
    assert part.isascii()
    assert not set(part) & set(".*> \t\r\n/")
    assert (part == token(other)) == (one == other)


@given(ANY_NAME, st.integers(1, 1 << 62))
def test_the_identity_of_a_message_says_how_far_its_sender_is(name: str, revision: int) -> None:
    identity = message_id(name, name, name, "0123456789ab", "cafe0123", revision)
    assert revision_in(identity, "cafe0123") == revision
    assert revision_in(identity, "cafe0124") is None


@pytest.mark.parametrize("identity", ["", "x", "north/b/s/0123/", "cafe0123.x", "cafe0123."])
def test_an_identity_of_others_says_nothing(identity: str) -> None:
    assert revision_in(identity, "cafe0123") is None
