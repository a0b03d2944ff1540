"""RTCP among the packets: which reports are of a stream's sender, and what had come of it before each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.stream import Stream
from rtpverify.rtp.batch import PacketBatch, RtpBatch, gather, header_field
from rtpverify.rtp.rtcp import Bye, Report, parse_rtcp

RTCP_BYTES = 8
"""Header of an RTCP packet and the SSRC of its sender (RFC 3550 section 6.4)."""


def report_rows(rtp: RtpBatch, streams: Sequence[Stream]) -> NDArray[np.int64]:
    """Return the rows of RTCP datagrams that begin with the SSRC of a stream, or of a packet of this batch.

    In order of arrival; several sockets may follow one another.

    Parameters
    ----------
    rtp
        The RTP packets of the batch.
    streams
        The streams so far.

    Returns
    -------
    NDArray[np.int64]
        Rows of the source batch, shape (n,).
    """
    rows = rtp.rtcp[rtp.source.length[rtp.rtcp] >= RTCP_BYTES] if len(rtp.rtcp) else rtp.rtcp
    if len(rows) == 0:
        return rows
    ssrc = header_field(gather(rtp.source.arena, rtp.source.offset[rows], RTCP_BYTES), 4, ">u4")
    known = np.append(np.unique(rtp.ssrc), [stream.ssrc for stream in streams])
    rows = rows[np.isin(ssrc, known)]
    return rows[np.argsort(rtp.source.arrival_ns[rows], kind="stable")]


def reports_of(batch: PacketBatch, row: int, streams: Sequence[Stream]) -> Iterator[tuple[Stream, Report]]:
    """Yield what the RTCP datagram in this row says of streams that its host sends.

    Parameters
    ----------
    batch
        The batch.
    row
        Row of the datagram.
    streams
        The streams so far.

    Yields
    ------
    tuple[Stream, Report]
        A stream, and what is reported of it.
    """
    start = int(batch.offset[row])
    host = batch.flows[int(batch.flow[row])].sender.rpartition(":")[0]
    for report in parse_rtcp(batch.arena[start : start + int(batch.length[row])].tobytes()).reports:
        ssrcs = report.ssrcs if isinstance(report, Bye) else (report.ssrc,)
        for stream in streams:
            if stream.ssrc in ssrcs and stream.flow.sender.rpartition(":")[0] == host:
                yield stream, report
