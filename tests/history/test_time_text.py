from __future__ import annotations

import time

import pytest

from rtpverify.errors import RequestError
from rtpverify.history.time_text import parse_moment

NOW_NS = 1_790_000_000_500_000_000
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2h", 7200),
        ("2h ago", 7200),
        (" 1d 12h ago ", 129_600),
        ("1h30m", 5400),
        ("1.5 h", 5400),
        ("5 min ago", 300),
        ("2W", 1_209_600),
        ("now", 0),
    ],
)
def test_how_long_ago(text, seconds):
    assert parse_moment(text, NOW_NS, "--since") == NOW_NS - seconds * SECOND_NS


@pytest.mark.parametrize(
    "text",
    ["2026-09-21T14:13:20.5Z", "2026-09-21T16:13:20.5+02:00", "2026-09-21 14:13:20.500000+00:00", "20260921T141320.5Z"],
)
def test_rfc_3339(text):
    assert parse_moment(text, 0, "--since") == NOW_NS


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_without_an_offset_it_is_this_hosts_time(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        expected = time.mktime((2026, 9, 21, 0, 0, 0, 0, 0, -1)) * SECOND_NS
        assert parse_moment("2026-09-21", NOW_NS, "--since") == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday-ish", "2h before", "h", "2026-13-01", "5 parsecs ago", "-2h"])
def test_what_is_neither_is_named(text):
    with pytest.raises(RequestError, match=r"^--since: ") as caught:
        parse_moment(text, NOW_NS, "--since")
    assert repr(text) in str(caught.value)


def test_far_moments_are_moments():
    second_ns = parse_moment("1970-01-01T00:00:01Z", NOW_NS, "--since")
    assert second_ns == SECOND_NS
    first, last = (
        parse_moment(text, NOW_NS, "--since") for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
    )
    assert (last - first) / SECOND_NS == pytest.approx(9999 * 365.2425 * 86_400, rel=1e-5)
    assert abs(parse_moment("0001-01-01", NOW_NS, "--since") - first) < 2 * 86_400 * SECOND_NS
    assert parse_moment(f"{'9' * 400}w", NOW_NS, "--since") < -(10**400)
    with pytest.raises(RequestError, match=r"^--since: "):
        parse_moment(f"{'9' * 5000}w", NOW_NS, "--since")
