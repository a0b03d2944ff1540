"""Reporting events: once when they are known, again when they have grown or ended."""

from __future__ import annotations

from rtpverify.events import Event, Kind, SilenceSize

TELL_OPEN_SECONDS = 0.2
"""An event that lasts longer is reported while it still continues."""


class Teller:
    """Events of one channel, in the order in which they are reported; the same object comes again when it has changed.

    Parameters
    ----------
    sample_rate_hz
        Rate of the channel.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.events: list[Event] = []
        self._open_frames = TELL_OPEN_SECONDS * sample_rate_hz

    def tell(self, event: Event) -> None:
        """Report an event.

        Parameters
        ----------
        event
            The event.
        """
        self.events.append(event)

    def is_long(self, event: Event, stop: int) -> bool:
        """Return whether an event that lasts up to frame ``stop`` is long enough to be reported while it continues.

        Parameters
        ----------
        event
            The event.
        stop
            The frame.

        Returns
        -------
        bool
            Whether it is.
        """
        return stop - event.start_frame >= self._open_frames

    def grow(self, event: Event, stop: int, text: str = "") -> None:
        """Follow an event that continues up to frame ``stop``; report it once it is long.

        Parameters
        ----------
        event
            The event.
        stop
            The frame.
        text
            Becomes its message, with the number of frames after it; without, the message stays.
        """
        event.duration_frames = stop - event.start_frame
        if text:
            event.message = f"{text} {event.duration_frames} frames"
        if not event.open and self.is_long(event, stop):
            event.open = True
            self.events.append(event)

    def end(self, event: Event, stop: int, text: str = "") -> None:
        """End an event before frame ``stop`` and report it.

        Parameters
        ----------
        event
            The event.
        stop
            The frame.
        text
            As for :meth:`grow`.
        """
        event.duration_frames, event.open = max(0, stop - event.start_frame), False
        if text or event.kind is Kind.SILENCE:
            event.message = f"{text or 'no signal for'} {event.duration_frames} frames"
        self.events.append(event)

    def call_silence(self, event: Event, stop: int) -> None:
        """Call a dropout that is long and never ended what it is: a channel without signal.

        Parameters
        ----------
        event
            The dropout.
        stop
            The frame after its last.
        """
        if self.is_long(event, stop):
            event.size = SilenceSize(held_value=getattr(event.size, "held_value", None))
