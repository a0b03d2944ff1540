"""Why datagrams and captured frames are no packets of a stream, in plain words; reports count them by name."""

from __future__ import annotations

from collections.abc import Mapping

REASONS = {
    "short": "too short for RTP",
    "version": "not RTP (its version is 2)",
    "rtcp": "RTCP of no stream",
    "csrc": "RTP header cut off in its list of contributing sources",
    "extension": "RTP header cut off in its extension",
    "padding": "RTP with more padding than payload",
    "unmatched": "to or from other addresses than are expected",
    "not_selected": "of streams that --stream does not pick",
    "too_many_streams": "of more streams than are followed at a time",
    "probation": "of senders that sent too little in sequence to be taken for RTP",
    "flows": "of more senders than are remembered",
    "sender": "from another sender than is asked for",
    "truncated": "cut off before the end of their headers, or longer than is received",
    "fragment": "parts of fragmented IP packets",
    "malformed": "with headers that contradict each other",
    "cut_off": "cut off at the end of the capture",
    "damaged": "with a damaged record in the capture",
    "not_ip": "not IP",
    "not_udp": "not UDP",
    "link_type": "of a link type that is not read",
}
"""What each reason means, as in "12 datagrams ignored: 12 …"."""


def in_words(counts: Mapping[str, int]) -> str:
    """Write counts by reason."""
    return ", ".join(f"{count:,} {REASONS.get(reason, reason)}" for reason, count in counts.items() if count)
