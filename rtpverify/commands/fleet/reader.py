"""Reads what daemons publish to NATS into a :class:`~rtpverify.commands.fleet.benches.Fleet`.

A connection that is lost is made again; the latest state of everything comes with each, so nothing is missed for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rtpverify.commands.fleet.benches import Document, Fleet
from rtpverify.daemon.nats.server import LostError, NatsConnection, ServerTable, connected, said
from rtpverify.daemon.nats.subjects import EVENTS, STATES, Subject, subject
from rtpverify.errors import SourceError
from rtpverify.events import nanoseconds

if TYPE_CHECKING:
    from nats.aio.msg import Msg

EVENTS_BACK_SECONDS = 3600.0
"""How old events may be that are read at first."""
_AGAIN_SECONDS = 2.0
_LOOK_SECONDS = 0.5


async def read_once(server: ServerTable) -> Fleet:
    """Return how all benches fare.

    Parameters
    ----------
    server
        Which server.

    Returns
    -------
    Fleet
        Without events.

    Raises
    ------
    SourceError
        Where the server cannot be reached, or does not answer.
    """
    from nats.errors import Error

    fleet = Fleet()
    try:
        async with connected(server, "rtpverify fleet") as connection:
            await _read_states(connection, fleet)
    except _NothingYetError:
        pass
    except (LostError, Error) as error:
        raise SourceError(f"{server.place}: {error if isinstance(error, LostError) else said(error)}") from error
    return fleet


async def follow(
    server: ServerTable,
    fleet: Fleet,
    stop: asyncio.Event,
    on_trouble: Callable[[str | None], None],
    on_event: Callable[[Document], None] = lambda _: None,
) -> None:
    """Keep a fleet up to date until ``stop`` is set.

    Parameters
    ----------
    server
        Which server.
    fleet
        Which takes what comes.
    stop
        Ends it.
    on_trouble
        Called with the reason where nothing can be read, and with None once it can.
    on_event
        Called with each event that is new or has changed.
    """
    from nats.errors import Error

    while not stop.is_set():
        try:
            async with connected(server, "rtpverify fleet") as connection:
                await _read_states(connection, fleet)
                await _read_events(connection, fleet, on_event)
                on_trouble(None)
                while not stop.is_set():
                    connection.require()
                    await _pause(stop, _LOOK_SECONDS)
        except (LostError, Error) as error:
            on_trouble(f"{server.place}: {error if isinstance(error, LostError) else said(error)}")
            await _pause(stop, _AGAIN_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class _NothingYetError(LostError):
    """No daemon has published yet: the first that does makes the streams."""


async def _read_states(connection: NatsConnection, fleet: Fleet) -> None:
    """Read the latest states; return once all of those there were are read, and read on."""
    from nats.js.api import DeliverPolicy
    from nats.js.errors import NotFoundError

    all_there = asyncio.Event()
    read, wanted = 0, 0

    async def take(message: Msg) -> None:
        nonlocal read
        read += 1
        fleet.take(message.data, _sent_ns(message))
        if read >= wanted:
            all_there.set()

    for kind in (Subject.STATE, Subject.BENCH):
        asked = connection.jetstream.subscribe(
            subject(kind),
            stream=STATES,
            ordered_consumer=True,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            cb=take,
        )
        try:
            subscription = await connection.answer(asked)
        except NotFoundError:
            raise _NothingYetError("no daemon has published yet") from None
        info = await connection.answer(subscription.consumer_info())
        wanted += (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
    if read < wanted:
        all_there.clear()
        await connection.answer(all_there.wait())


async def _read_events(connection: NatsConnection, fleet: Fleet, on_event: Callable[[Document], None]) -> None:
    """Read the events of the last hour, and then each that comes."""
    from nats.js.api import ConsumerConfig, DeliverPolicy

    async def take(message: Msg) -> None:
        event = fleet.take(message.data, _sent_ns(message))
        if event is not None:
            on_event(event)

    since = datetime.now(UTC) - timedelta(seconds=EVENTS_BACK_SECONDS)
    config = ConsumerConfig(opt_start_time=since.strftime("%Y-%m-%dT%H:%M:%SZ"))  # type: ignore[arg-type]
    asked = connection.jetstream.subscribe(
        subject(Subject.EVENT),
        stream=EVENTS,
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        config=config,
        cb=take,
    )
    await connection.answer(asked)


def _sent_ns(message: Msg) -> int:
    """Return when the server got a message, at the latest now: its clock may be another."""
    return min(nanoseconds(message.metadata.timestamp), time.time_ns())
