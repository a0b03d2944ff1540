"""The streams of a source, a line each: what ``--list-streams`` prints."""

from __future__ import annotations

from rtpverify.report.text import aligned
from rtpverify.result import Result
from rtpverify.result.event_wording import UNMEASURED, seconds

_COLUMNS = ("SSRC", "Sender", "Destination", "Type", "Encoding", "Packet time", "Packets", "Lost", "Seconds")
_RIGHT = (3, 5, 6, 7, 8)


def lines(result: Result) -> list[str]:
    """Return a title, a line for each stream in order of appearance, and what is to be known of them.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    list[str]
        Lines of equal columns.
    """
    rows, notes = [], []
    for stream in result.arrived:
        wire, rate = stream.transport, stream.sample_rate
        if wire is None:
            continue
        name = stream.encoding or "unknown"
        rows.append(
            (
                f"0x{stream.ssrc or 0:08x}",
                stream.sender or UNMEASURED,
                stream.destination or UNMEASURED,
                str(stream.payload_type),
                f"{name}/{rate}/{stream.channels}" if rate and stream.channels else name,
                seconds(stream.packet_time_seconds),
                f"{wire.packets_received:,}",
                f"{wire.packets_lost:,}",
                f"{stream.frames / rate:.3f}" if rate and stream.frames else UNMEASURED,
            )
        )
        notes += [f"0x{stream.ssrc or 0:08x}: {warning}" for warning in stream.warnings]
    return [*aligned([_COLUMNS, *rows], right=_RIGHT), *notes] if rows else ["no stream"]
