"""Which streams are followed, from where each is known, and the sockets they take.

Rules: a change is made as a whole or not at all; streams that are the same before and after are not touched, their
sockets lose nothing. No packet may belong to two streams, no name be borne by two, wherever they are known from.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rtpverify.daemon.streams.expected import FollowedStream
from rtpverify.errors import SourceError
from rtpverify.sources.live.endpoint import Endpoint, join_address
from rtpverify.sources.live.receiver import Receiver
from rtpverify.sources.live.sockets import interface_index
from rtpverify.sources.ring.tap import EVERY_INTERFACE, is_tap, parse_taps
from rtpverify.transport.places import MAX_STREAMS

CONFIGURED = "the configuration"
"""Origin of the streams that the configuration itself names."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became different: a stream that was changed is both gone and new."""

    gone: Sequence[FollowedStream] = ()
    new: Sequence[FollowedStream] = ()

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)

    @property
    def added(self) -> list[str]:
        """Names that were not there before."""
        before = {stream.name for stream in self.gone}
        return [stream.name for stream in self.new if stream.name not in before]

    @property
    def changed(self) -> list[str]:
        """Names that mean something else now."""
        before = {stream.name for stream in self.gone}
        return [stream.name for stream in self.new if stream.name in before]

    @property
    def removed(self) -> list[str]:
        """Names that are not there any more."""
        after = {stream.name for stream in self.new}
        return [stream.name for stream in self.gone if stream.name not in after]


class Roster:
    """The streams that are followed.

    Parameters
    ----------
    receiver
        Receives at their endpoints, and at no others.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._streams: dict[str, Sequence[FollowedStream]] = {}
        self._interfaces: dict[str, tuple[int, ...] | None] = {}

    def __iter__(self) -> Iterator[FollowedStream]:
        for streams in self._streams.values():
            yield from streams

    @property
    def origins(self) -> Iterable[str]:
        """From where streams are known."""
        return self._streams.keys()

    def followed_from(self, origin: str) -> Sequence[FollowedStream]:
        """Return the streams known from somewhere.

        Parameters
        ----------
        origin
            Where they are known from.

        Returns
        -------
        Sequence[FollowedStream]
            The streams.
        """
        return self._streams.get(origin, ())

    def update(self, wanted: Mapping[str, Sequence[FollowedStream]]) -> Change:
        """Follow other streams from some origins; those of other origins stay.

        Parameters
        ----------
        wanted
            Streams by origin.

        Returns
        -------
        Change
            What began and what ended.

        Raises
        ------
        SourceError
            Where one cannot be followed; then nothing has changed.
        """
        before = {origin: self.followed_from(origin) for origin in wanted}
        _check(wanted, {origin: streams for origin, streams in self._streams.items() if origin not in wanted})
        present, future = _by_name(before), _by_name(wanted)
        change = Change(
            [stream for name, stream in present.items() if future.get(name) != stream],
            [stream for name, stream in future.items() if present.get(name) != stream],
        )
        self._move(_endpoints(change.gone), _endpoints(change.new))
        self._streams |= wanted
        self._streams = {origin: streams for origin, streams in self._streams.items() if streams}
        return change

    def _move(self, gone: Sequence[Endpoint], new: Sequence[Endpoint]) -> None:
        """Receive elsewhere, as a whole or not at all; endpoints that stay are not touched."""
        needless = list((Counter(gone) - Counter(new)).elements())
        wanted = list((Counter(new) - Counter(gone)).elements())
        leaving = {(one.address, one.port) for one in needless}
        # What takes the place of something that goes has to wait for it; nothing is lost where the others fail.
        late = [one for one in wanted if (one.address, one.port) in leaving]
        early = [one for one in wanted if one not in late]
        self._receiver.add(early)
        self._receiver.remove(needless)
        try:
            self._receiver.add(late)
        except SourceError:
            self._receiver.remove(early)
            self._receiver.add(needless)
            raise

    def follow_interfaces(self) -> tuple[list[str], list[str]]:
        """Receive again through interfaces that came back as others; return those that went and those that came back.

        The kernel forgets what was joined on an interface that goes, and does not join again by itself.

        Returns
        -------
        went : list of str
            Names of interfaces.
        came : list of str
            Names of interfaces.
        """
        gone, back = [], []
        endpoints = _endpoints(self)
        names = {one.interface for one in endpoints if one.interface is not None}
        before, self._interfaces = self._interfaces, {name: _index(name, self._interfaces.get(name)) for name in names}
        for name, index in self._interfaces.items():
            if name not in before or index == before[name]:
                continue
            if index is None:
                gone.append(name)
                continue
            through = [one for one in endpoints if one.interface == name]
            self._receiver.remove(through)
            try:
                self._receiver.add(through)
            except SourceError:
                self._interfaces[name] = None  # it is not whole yet: the next look tries again
            else:
                back.append(name)
        return gone, back

    @property
    def missing_interfaces(self) -> list[str]:
        """Interfaces that streams are received through and that are not there."""
        return sorted(name for name, index in self._interfaces.items() if index is None)


def _index(interface: str, before: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the index of an interface, of those of a tap; None where one is not there.

    Where the system cannot say, what it was before.
    """
    names = [one.interface for one in parse_taps(interface)] if is_tap(interface) else [interface]
    try:
        return tuple(interface_index(name) for name in names if name != EVERY_INTERFACE)
    except OSError as error:
        return None if error.errno in (None, errno.ENODEV, errno.ENXIO) else before


def _by_name(streams: Mapping[str, Sequence[FollowedStream]]) -> dict[str, FollowedStream]:
    return {stream.name: stream for of_origin in streams.values() for stream in of_origin}


def _endpoints(streams: Iterable[FollowedStream]) -> list[Endpoint]:
    """Return what is bound for streams, RTCP ports included."""
    return [part for stream in streams for endpoint in stream.endpoints for part in endpoint.parts]


def _check(wanted: Mapping[str, Sequence[FollowedStream]], others: Mapping[str, Sequence[FollowedStream]]) -> None:
    """Check that streams differ in name and packets from each other and from those that are followed."""
    count = sum(len(streams) for streams in (*others.values(), *wanted.values()))
    if count > MAX_STREAMS:
        raise SourceError(f"{', '.join(wanted)}: {count} streams in all, more than {MAX_STREAMS}")
    names: dict[str, str] = {}
    at: dict[tuple[str, int], list[tuple[str, FollowedStream]]] = {}
    for origin, streams in [*others.items(), *wanted.items()]:
        for stream in streams:
            if stream.name in names:
                raise SourceError(f"{origin}: {stream.name} is the name of a stream of {names[stream.name]} already")
            names[stream.name] = origin
            for place in {(one.address, one.port) for one in _endpoints([stream])}:
                for other_origin, other in at.setdefault(place, []):
                    if stream.overlaps(other):
                        taken = f"also takes packets of {other.name} of {other_origin}"
                        raise SourceError(f"{origin}: {stream.name} at {join_address(*place)} {taken}")
                at[place].append((origin, stream))
