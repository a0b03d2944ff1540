"""RTCP of a sender (RFC 3550 section 6.4.1): reports of what it sends, and a BYE at the end."""

from __future__ import annotations

from rtpverify.rtp.rtcp import SenderReport, write_goodbye, write_sender_report
from rtpverify.sender.rtp_sender import Sender

INTERVAL_NS = 5_000_000_000
"""Between two reports (RFC 3550 section 6.2)."""
_FIRST_NS = 500_000_000
_NTP_EPOCH_SECONDS = 2_208_988_800
"""From 1900 to 1970."""


class ReportSender:
    """Sends the reports of streams to the port after that of their packets.

    Parameters
    ----------
    sender
        What sends the streams.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._due_ns: int | None = None

    def tick(self, now_ns: int) -> None:
        """Send the reports that are due.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.
        """
        if self._sender.started_ns is None:
            return
        if self._due_ns is None:
            self._due_ns = self._sender.started_ns + _FIRST_NS
        if now_ns >= self._due_ns:
            self._due_ns += INTERVAL_NS
            for number, identity in enumerate(self._sender.identities):
                report = write_sender_report(self._report(number, now_ns), _cname(identity.ssrc))
                self._sender.send_rtcp(number, report)

    def goodbye(self) -> None:
        """Say that every stream ends."""
        for number, identity in enumerate(self._sender.identities):
            self._sender.send_rtcp(number, write_goodbye(identity.ssrc, _cname(identity.ssrc)))

    def _report(self, number: int, now_ns: int) -> SenderReport:
        settings, identity = self._sender.settings[number], self._sender.identities[number]
        frames = self._sender.frames_due(number)
        since_ns = now_ns - (self._sender.started_ns or now_ns)
        return SenderReport(
            ssrc=identity.ssrc,
            ntp=(now_ns + _NTP_EPOCH_SECONDS * 1_000_000_000 << 32) // 1_000_000_000,
            timestamp=identity.timestamp + since_ns * settings.encoding.sample_rate_hz // 1_000_000_000,
            packets=-(-frames // settings.packet_frames),
            octets=frames * settings.encoding.bytes_per_frame,
        )


def _cname(ssrc: int) -> str:
    return f"rtpverify-{ssrc:08x}"
