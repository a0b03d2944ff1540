"""Which interface is tapped, and how: ``capture://eth0[?filter=EXPRESSION&ring_mb=32&slot_bytes=2048&outgoing=1]``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from rtpverify.errors import ConfigurationError

SCHEME = "capture://"
EVERY_INTERFACE = "any"
RING_MB = 32
SLOT_BYTES = 2048
"""Holds an Ethernet frame of 1,500 bytes of payload, with tags."""
_SLOT_BYTES = tuple(1 << power for power in range(9, 17))
_MOST_RING_MB = 1 << 14
_LONGEST_NAME = 15
"""``IFNAMSIZ`` of Linux, without the closing zero."""


@dataclass(frozen=True, slots=True)
class Tap:
    """What is taken of the frames that pass an interface.

    Attributes
    ----------
    interface
        Name, or ``any`` for every interface of this host.
    filter
        What of it, as an expression of pcap-filter(7); empty: all UDP.
    ring_mb
        Size of the ring, 1,048,576 bytes each.
    slot_bytes
        What one frame takes in the ring: what does not fit is cut off. A power of two, 512 to 65,536.
    outgoing
        Also take what this host sends.
    hardware_time
        Take the interface's time stamps where it makes them; the kernel's elsewhere.
    """

    interface: str
    filter: str = ""
    ring_mb: int = RING_MB
    slot_bytes: int = SLOT_BYTES
    outgoing: bool = False
    hardware_time: bool = False

    def __str__(self) -> str:
        options = {
            "filter": self.filter or None,
            "ring_mb": None if self.ring_mb == RING_MB else self.ring_mb,
            "slot_bytes": None if self.slot_bytes == SLOT_BYTES else self.slot_bytes,
            "outgoing": 1 if self.outgoing else None,
            "hardware_time": 1 if self.hardware_time else None,
        }
        query = urlencode({name: value for name, value in options.items() if value is not None})
        return f"{SCHEME}{self.interface}{'?' if query else ''}{query}"


def is_tap(text: str | None) -> bool:
    """Return whether a source or an interface is a tap: packets are picked from all that passes.

    Parameters
    ----------
    text
        Source or interface; None: none is given.

    Returns
    -------
    bool
        Whether it begins with ``capture://``.
    """
    return text is not None and text.startswith(SCHEME)


def parse_taps(text: str, place: str = "SOURCE") -> list[Tap]:
    """Read ``capture://NAME[,NAME...][?option=value&...]``: one tap for each interface, with the same options.

    Parameters
    ----------
    text
        The source as it was written.
    place
        Where it was written, for messages.

    Returns
    -------
    list[Tap]
        At least one.

    Raises
    ------
    ConfigurationError
        Where a part is missing or unusable; the message starts with ``place`` and names the value.
    """
    where = f"{place}: {text!r}"
    if not text.startswith(SCHEME):
        raise ConfigurationError(f"{where} does not start with {SCHEME}")
    names, _, query = text.removeprefix(SCHEME).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    tap = Tap(
        "",
        options.pop("filter", ""),
        _whole(options.pop("ring_mb", str(RING_MB)), range(1, _MOST_RING_MB + 1), f"{where}: ring_mb"),
        _whole(options.pop("slot_bytes", str(SLOT_BYTES)), _SLOT_BYTES, f"{where}: slot_bytes"),
        _switch(options.pop("outgoing", "0"), f"{where}: outgoing"),
        _switch(options.pop("hardware_time", "0"), f"{where}: hardware_time"),
    )
    if options:
        known = "filter, ring_mb, slot_bytes, outgoing, hardware_time"
        raise ConfigurationError(f"{where}: unknown option {next(iter(options))!r}; known are {known}")
    interfaces = names.split(",")
    if tap.outgoing and EVERY_INTERFACE in interfaces:
        raise ConfigurationError(f"{where}: outgoing=1 needs the name of an interface: all show some packets twice")
    for name in interfaces:
        if not 0 < len(name.encode()) <= _LONGEST_NAME or "/" in name or name.split() != [name]:
            raise ConfigurationError(f"{where}: {name!r} is not the name of a network interface")
        if interfaces.count(name) > 1 or (name == EVERY_INTERFACE and len(interfaces) > 1):
            raise ConfigurationError(f"{where}: interface {name} is named twice")
    return [Tap(name, tap.filter, tap.ring_mb, tap.slot_bytes, tap.outgoing, tap.hardware_time) for name in interfaces]


def _whole(text: str, allowed: range | tuple[int, ...], where: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else None
    if value is None or value not in allowed:
        what = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
        raise ConfigurationError(f"{where} {text!r} is not one of {what}")
    return value


def _switch(text: str, where: str) -> bool:
    if text not in ("0", "1"):
        raise ConfigurationError(f"{where} {text!r} is neither 0 nor 1")
    return text == "1"
