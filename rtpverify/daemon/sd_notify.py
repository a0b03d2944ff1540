"""What systemd is notified of: that the daemon is ready, reloads, stops, and is alive (``sd_notify(3)``).

One datagram a message, to the socket that ``NOTIFY_SOCKET`` names. Without one nothing is sent. A message that cannot
be sent is dropped: the watchdog's comes again, and reception never waits.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress


class Notifier:
    """Speaks to systemd; see :meth:`from_environment`.

    Parameters
    ----------
    address
        Of the socket, as ``NOTIFY_SOCKET`` has it: a path, or ``@`` and an abstract name; None for no socket.
    watchdog_ns
        Longest time between two signs of life that the supervisor waits; None where it does not.
    """

    def __init__(self, address: str | None, watchdog_ns: int | None = None) -> None:
        self._address = address.replace("@", "\0", 1) if address and address.startswith("@") else address
        self._interval_ns = None if watchdog_ns is None else watchdog_ns // 2
        self._next_ns = 0
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """Return one for what the supervisor put into the environment (``sd_watchdog_enabled(3)``).

        Parameters
        ----------
        environment
            The environment variables.
        """
        watchdog_ns = None
        with suppress(ValueError):
            if int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid():
                watchdog_ns = 1000 * int(environment["WATCHDOG_USEC"]) if "WATCHDOG_USEC" in environment else None
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_ns)

    def ready(self, status: str) -> None:
        """Report that the daemon does its work, for the first time or after a reload.

        Parameters
        ----------
        status
            A line for ``systemctl status``.
        """
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Report that the configuration is read again; :meth:`ready` follows."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the daemon comes to its end."""
        self._send("STOPPING=1")

    def alive(self, now_ns: int, status: Callable[[], str]) -> None:
        """Report that the receive loop goes round, twice in the watchdog's time, with a line for ``systemctl status``.

        ``now_ns`` is of a clock that is never set.

        Parameters
        ----------
        now_ns
            Of a clock that is never set.
        status
            Returns the line.
        """
        if self._interval_ns is not None and now_ns >= self._next_ns:
            self._next_ns = now_ns + self._interval_ns
            self._send("WATCHDOG=1", f"STATUS={status()}")

    def close(self) -> None:
        """Close the socket. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is not None and self._address:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
