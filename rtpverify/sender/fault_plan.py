"""Faults by schedule or by probability, for some or all of several streams and legs.

Any fault may name a ``stream`` and, if it happens to packets, a ``leg``, both from 1; without them it concerns all.
``per_second`` repeats it at random that often on average, and ``rate`` (of a fault of packets) with that probability
for each packet, from ``at`` to the end of what is sent: the faults are drawn before anything is sent, by ``seed``.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from rtpverify.errors import ConfigurationError
from rtpverify.sender.faults import FAULTS, Fault, make_fault, split_fault

MOST_DRAWN = 100_000
"""Faults that one text may draw."""

T = TypeVar("T", int, float)

Target = tuple[int, int]
"""Stream and leg, from 0."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What faults are planned for.

    Attributes
    ----------
    duration_seconds
        None where it has no end: then nothing can be drawn.
    seed
        Of the draws of faults that give none.
    """

    streams: int
    legs: int
    packet_seconds: float
    duration_seconds: float | None
    seed: int


_SEEDS_APART = 1_000_003
"""More than there are streams, whose seeds count up by one."""


def plan_faults(texts: Sequence[str], sent: Sent) -> dict[Target, list[Fault]]:
    """Return the faults of each leg of each stream.

    Parameters
    ----------
    texts
        As they were written, each with ``stream`` and ``leg`` where it is not for all.
    sent
        What is sent.

    Returns
    -------
    dict[Target, list[Fault]]
        By stream and leg.

    Raises
    ------
    ConfigurationError
        As :func:`rtpverify.sender.faults.parse_fault`; for a stream or leg that there is not, and for a probability
        where it can't be drawn from.
    """
    plan: dict[Target, list[Fault]] = {(stream, leg): [] for stream in range(sent.streams) for leg in range(sent.legs)}
    earlier: Counter[str] = Counter()
    for text in texts:
        kind, values = split_fault(text)
        # Two faults of a kind, such as the losses of two legs, come independently of each other.
        own = replace(sent, seed=sent.seed + _SEEDS_APART * earlier[kind])
        earlier[kind] += 1
        place = f"--fault: {text!r}"
        streams = _chosen(values, "stream", sent.streams, place)
        if "leg" in values and not (kind in FAULTS and FAULTS[kind].transport):
            raise ConfigurationError(f"{place}: leg is for faults of packets; {kind} is in the audio, on both legs")
        legs = _chosen(values, "leg", sent.legs, place)
        for stream in streams:
            faults = list(_faults(kind, values, own, stream, place))
            for leg in legs:
                plan[stream, leg] += faults
    return plan


def _chosen(values: dict[str, str], name: str, count: int, place: str) -> range:
    """Take ``stream`` or ``leg`` out of the values; return which are meant, from 0."""
    text = values.pop(name, None)
    if text is None:
        return range(count)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= count):
        raise ConfigurationError(f"{place}: {name}={text} is not a number from 1 to {count}")
    return range(int(text) - 1, int(text))


def _faults(kind: str, values: Mapping[str, str], sent: Sent, stream: int, place: str) -> Iterator[Fault]:
    """Yield the faults that one text makes in one stream."""
    known = FAULTS.get(kind)
    draws = [name for name in ("per_second", "rate") if name in values and not (known and name in known.parameters)]
    if not draws:
        if kind == "loss" and "rate" in values:  # drawn packet by packet while it is sent
            values = {"at": repr(sent.packet_seconds), "seed": str(sent.seed + stream), **values}
        yield make_fault(kind, values, place)
        return
    [name, *others] = draws
    if others:
        raise ConfigurationError(f"{place}: give per_second or rate, not both")
    if known is not None and name == "rate" and not known.transport:
        raise ConfigurationError(f"{place}: rate is the probability for a packet; give per_second for {kind}")
    if sent.duration_seconds is None:
        raise ConfigurationError(f"{place}: {name} draws faults up to the end, so --duration is needed")
    rest = {key: value for key, value in values.items() if key != name}
    own_seed = known is not None and "seed" in known.parameters
    seed = _number(rest.get("seed", str(sent.seed)), "seed", int, place)
    if not own_seed:
        rest.pop("seed", None)
    chance = _number(values[name], name, float, place)
    if not 0.0 < chance <= (1.0 if name == "rate" else np.inf):
        raise ConfigurationError(f"{place}: {name}={values[name]} is not above 0{' and up to 1' * (name == 'rate')}")
    interval = 1.0 / chance if name == "per_second" else sent.packet_seconds / chance
    random = np.random.default_rng([seed, stream, zlib.crc32(kind.encode())])
    at = max(_number(rest.pop("at", "0"), "at", float, place), sent.packet_seconds)
    for number in range(MOST_DRAWN + 1):
        at += float(random.exponential(interval))
        if at >= sent.duration_seconds:
            return
        if number == MOST_DRAWN:
            break
        drawn = {**rest, "at": repr(at)} | ({"seed": str(seed + number)} if own_seed else {})
        fault = make_fault(kind, drawn, place)
        yield fault
        at += fault.duration_seconds or 0.0
    raise ConfigurationError(f"{place}: makes more than {MOST_DRAWN:,} faults; give a smaller {name}")


def _number(text: str, name: str, read: Callable[[str], T], place: str) -> T:
    try:
        return read(text)
    except ValueError:
        raise ConfigurationError(f"{place}: {name}={text} is not a number") from None
