"""Why datagrams and captured frames are no packets of a stream, in plain words; reports count them by name."""

from __future__ import annotations

from collections.abc import Mapping

REASONS = {
    "short": "too short for RTP",
    "version": "not RTP (its version is 2)",
    "rtcp": "RTCP that belongs to no stream",
    "csrc": "RTP header truncated within its list of contributing sources",
    "extension": "RTP header truncated within its extension",
    "padding": "RTP with more padding than payload",
    "unmatched": "to or from unexpected addresses",
    "not_selected": "of streams not selected with --stream",
    "too_many_streams": "of streams past the limit of streams at a time",
    "probation": "of senders that did not send enough packets in sequence to be a stream",
    "flows": "of senders past the limit of senders remembered",
    "sender": "from another sender than the one requested",
    "truncated": "truncated within their headers, or longer than the receive buffer (2,048 bytes)",
    "fragment": "parts of fragmented IP packets",
    "malformed": "with headers that contradict each other",
    "cut_off": "cut off at the end of the capture",
    "damaged": "with a damaged record in the capture",
    "not_ip": "not IP",
    "not_udp": "not UDP",
    "link_type": "of an unsupported link type",
}
"""What each reason means, as in "12 datagrams ignored: 12 …"."""


def in_words(counts: Mapping[str, int]) -> str:
    """Write counts by reason.

    Parameters
    ----------
    counts
        Datagrams by reason.

    Returns
    -------
    str
        Parts separated by commas, in the order of ``counts``.
    """
    return ", ".join(f"{count:,} {REASONS.get(reason, reason)}" for reason, count in counts.items() if count)
