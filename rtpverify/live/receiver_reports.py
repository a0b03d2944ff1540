"""Receiver reports to the senders of streams (RFC 3550 section 6.4.2): some continue only while they are heard.

A report goes where the sender's own RTCP comes from; before any came, to the port after its RTP, and for multicast to
the port after the group's. It is sent from a port of its own. Nothing of it is received here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Self

import numpy as np

from rtpverify.engine.stream import Stream
from rtpverify.engine.verifier import Verifier
from rtpverify.rtp.rtcp import ReceptionBlock, write_receiver_report

INTERVAL_NS = 5_000_000_000
"""Mean time between two reports (RFC 3550 section 6.2)."""
HEARD_NS = 1_000_000_000
"""A stream is reported on while its last packet is younger than this."""


class Feedback:
    """Reports on every stream of a verifier.

    Parameters
    ----------
    verifier
        What receives.
    now_ns
        Time in ns since the Unix epoch.
    seed
        Of the own SSRC and of the spread of the reports.

    Attributes
    ----------
    sent, failed
        Reports that went out, and that could not be sent.
    """

    def __init__(self, verifier: Verifier, now_ns: int, seed: int | None = None) -> None:
        self.sent = self.failed = 0
        self._verifier = verifier
        self._random = np.random.default_rng(seed)
        self.ssrc = int(self._random.integers(1 << 32))
        self._cname = f"rtpverify-{self.ssrc:08x}"
        self._due_ns = now_ns + self._interval_ns() // 2
        self._before: dict[tuple[int, int], tuple[int, int]] = {}
        """Packets expected and lost of each stream when it was reported on last."""
        self._sockets: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    def tick(self, now_ns: int) -> None:
        """Send what is due.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.
        """
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._interval_ns()
        before, self._before = self._before, {}
        for stream in self._verifier.streams:
            if stream.closed is not None:
                continue
            reception = self._verifier.reception(stream)
            expected, lost = reception.counts.expected, reception.counts.lost
            key = stream.index, stream.first_arrival_ns  # the index alone may be another's later
            expected_before, lost_before = before.get(key, (0, 0))
            self._before[key] = expected, lost
            if now_ns - reception.last_arrival_ns > HEARD_NS or expected <= expected_before:
                continue
            block = ReceptionBlock(
                ssrc=stream.ssrc,
                fraction_lost=min(256 * max(lost - lost_before, 0) // (expected - expected_before), 255),
                cumulative_lost=min(lost, 0x7FFFFF),
                highest_sequence=reception.sequence & 0xFFFFFFFF,
                jitter=reception.jitter_frames or 0,
                last_report=reception.last_report,
                delay_since_last_report=reception.delay_since_last_report(now_ns),
            )
            report = write_receiver_report(self.ssrc, [block], self._cname)
            for host, port in self._destinations(stream):
                self._send(report, host, port)

    def _interval_ns(self) -> int:
        return round(INTERVAL_NS * float(self._random.uniform(0.5, 1.5)))

    def _destinations(self, stream: Stream) -> Iterator[tuple[str, int]]:
        """Yield where a report on a stream goes."""
        group, _, port = stream.flow.destination.rpartition(":")
        group = group.strip("[]")
        if ip_address(group).is_multicast and not stream.has_source_filter:
            yield group, int(port) + 1
        elif stream.rtcp.address is not None:
            host, _, port = stream.rtcp.address.rpartition(":")
            yield host.strip("[]"), int(port)
        else:
            host, _, port = stream.flow.sender.rpartition(":")
            yield host.strip("[]"), int(port) + 1

    def _send(self, report: bytes, host: str, port: int) -> None:
        """Send one report; where that is not possible, it is counted."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            if family not in self._sockets:
                self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
                self._sockets[family].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._sockets[family].sendto(report, (host, port))
                self.sent += 1
        except OSError:
            self.failed += 1
