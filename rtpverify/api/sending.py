"""A sender that runs with the code that verifies it: a context manager, for ``with`` and ``async with``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rtpverify.commands.send import Extras, legs_of, stream_settings
from rtpverify.dsp.arrays import positive
from rtpverify.errors import RequestError
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sender.tone import DEFAULT_FREQUENCY_HZ, DEFAULT_LEVEL_DBFS
from rtpverify.sender.truth import merged_truth

if TYPE_CHECKING:
    from rtpverify.events import Event
    from rtpverify.sender.rtp_sender import LastPacket, Progress
    from rtpverify.sender.signal import Dither


class LiveSender:
    """Sends a stream while a block runs: ``with`` or ``async with``. Made by :func:`rtpverify.send`.

    Where what is sent has an end, a duration or that of a recording, the block lasts until then unless it raises or
    stops the sender; otherwise its end ends the sending.

    Parameters
    ----------
    legs
        What is sent: one stream, or one for each leg.
    duration_seconds
        None: until the signal is over, or the block ends.
    """

    def __init__(self, legs: Sequence[StreamSettings], duration_seconds: float | None) -> None:
        self._legs = legs
        self._duration_seconds = duration_seconds
        self._sender: Sender | None = None
        self._is_stopped = False

    def __enter__(self) -> Self:
        if self._is_stopped:
            raise RequestError(f"send {self._legs[0].destination}: has ended; call rtpverify.send again")
        if self._sender is None:
            self._sender = Sender(self._legs, duration_seconds=self._duration_seconds)
            self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self.ends_by_itself:
                self.wait()
        finally:
            self.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self.ends_by_itself:
                await self.wait_async()
        finally:
            self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is sent.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: for as long as it takes.

        Returns
        -------
        bool
            Whether all was sent in time.

        Raises
        ------
        SourceError
            Where sending fails.
        """
        return self._running().wait(timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """Do the same as :meth:`wait` while other tasks of the event loop run.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: for as long as it takes.

        Returns
        -------
        bool
            Whether all was sent in time.
        """
        return await asyncio.to_thread(self.wait, timeout)

    def stop(self) -> None:
        """Stop sending now, and close the socket.

        Raises
        ------
        SourceError
            Where sending had failed.
        """
        self._is_stopped = True
        self._running().stop()

    @property
    def truth(self) -> list[Event]:
        """The events made so far, in order of time, as a verifier that misses nothing reports them.

        Frames count from the first one sent, so they are those of a verifier that receives from the start.
        """
        sender = self._running()
        return merged_truth(sender, range(len(self._legs)))

    @property
    def ssrc(self) -> int:
        """The SSRC of the stream, before any fault changes it."""
        return self._running().identities[0].ssrc

    @property
    def progress(self) -> Progress:
        """Packets sent, and how exactly in time."""
        return self._running().progress

    @property
    def ends_by_itself(self) -> bool:
        """Whether what is sent has an end: a duration, or that of a recording."""
        signal = self._legs[0].signal
        return self._duration_seconds is not None or (signal is not None and signal.frames is not None)

    def _running(self) -> Sender:
        if self._sender is None:
            raise RequestError(
                f"send {self._legs[0].destination}: not begun; use it as a context manager: with rtpverify.send(...)"
            )
        return self._sender


def send(
    destination: str = "rtp://127.0.0.1:5004",
    *,
    encoding: str | None = None,
    frequency: float | Sequence[float] = DEFAULT_FREQUENCY_HZ,
    faults: str | Sequence[str] = (),
    duration: float | None = None,
    second_destination: str | None = None,
    level_dbfs: float = DEFAULT_LEVEL_DBFS,
    noise_dbfs: float | None = None,
    dither: Dither = "none",
    seed: int = 0,
    file: str | Path | None = None,
    loop: bool = False,
    last_packet: LastPacket | None = None,
    payload_type: int = 97,
    packet_time: float | None = None,
    ssrc: int | None = None,
    ttl: int = 16,
    interface: str | None = None,
) -> LiveSender:
    """Send a test tone or a recording as RTP while a block runs: a context manager, sync and async.

    Parameters
    ----------
    destination
        ``"rtp://[FROM@]ADDRESS:PORT"``.
    encoding
        Such as ``"L16/44100/2"``; None: ``L24/48000/2``, for a recording one that holds it without loss.
    frequency
        Of the tone in Hz: one for all channels, or one per channel.
    faults
        As ``rtpverify send --fault`` takes them, such as ``["loss:at=0.5,packets=3", "slip:at=1,frames=48"]``, or by
        probability: ``"click:per_second=2,size=0.1"``.
    duration
        Seconds to send, then the block lasts until they are over; None: until the block or the recording ends.
    second_destination
        Where copies of the packets go (ST 2022-7); ``truth`` is that of both, once merged.
    level_dbfs, noise_dbfs, dither, seed
        Of the tone; a full-scale sine is 0 dBFS. Noise and dither follow from the seed.
    file, loop, last_packet
        A recording to send instead of a tone; whether it is repeated; whether the frames at its end that fill no packet
        are sent (``"short"``, also if None) or dropped (``"drop"``).
    payload_type, packet_time, ssrc
        Of the packets; ``packet_time`` in seconds, None is 1 ms, or less where that fits no Ethernet frame; ``ssrc``
        None is drawn at random.
    ttl, interface
        Time to live of multicast packets, and the network interface that they leave by.

    Returns
    -------
    LiveSender
        It sends once the block has begun; ``truth`` has the events that it made.

    Raises
    ------
    RequestError
        Where an argument is unusable.

    Examples
    --------
    >>> with rtpverify.send("rtp://127.0.0.1:5004", faults=["loss:at=0.5,packets=3"], duration=1) as sender:
    ...     pass
    >>> [(str(event.kind), event.start_frame, event.duration_frames) for event in sender.truth]
    [('gap', 24000, 144)]
    """
    if duration is not None:
        positive(duration, "duration")
    frequencies = [frequency] if isinstance(frequency, int | float) else frequency
    settings = stream_settings(
        destination,
        frequency=",".join(map(repr, frequencies)),
        level_dbfs=level_dbfs,
        noise_dbfs=noise_dbfs,
        dither=dither,
        seed=seed,
        file=None if file is None else Path(file),
        loop=loop,
        last_packet=last_packet,
        encoding=encoding,
        payload_type=payload_type,
        packet_time=packet_time,
        ssrc=ssrc,
        ttl=ttl,
    )
    where = settings.destination
    base = replace(settings, destination=replace(where, interface=where.interface or interface))
    extras = Extras(second_destination=second_destination)
    [legs] = legs_of(base, [faults] if isinstance(faults, str) else faults, duration, extras)
    return LiveSender(legs, duration)
