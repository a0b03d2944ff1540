"""What changes outside while the daemon runs: the configuration, folders, announcements, interfaces.

Rules: the configuration is taken over as a whole or not at all; what comes from folders and announcements is taken over
one by one, and what of it cannot be is tried again. Nothing here waits for a disk on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from structlog.typing import FilteringBoundLogger

from rtpverify.daemon.configuration import Configuration
from rtpverify.daemon.defects import Defects
from rtpverify.daemon.metrics.snapshot import Snapshot
from rtpverify.daemon.reload import ConfigurationFiles
from rtpverify.daemon.sd_notify import Notifier
from rtpverify.daemon.sink_set import SinkSet, sink_tables
from rtpverify.daemon.streams.expected import FollowedStream
from rtpverify.daemon.streams.followed import CONFIGURED, Change, Roster
from rtpverify.daemon.streams.sap_sessions import AnnouncedSessions
from rtpverify.daemon.streams.sdp_folder import SdpFolder
from rtpverify.errors import RequestError

WATCH_SECONDS = 1.0
"""How often files, announcements and interfaces are examined."""


class SupervisedService(Protocol):
    """What a supervisor changes: the service."""

    log: FilteringBoundLogger
    roster: Roster
    snapshot: Snapshot
    sink_set: SinkSet
    defects: Defects

    def follow(self, wanted: Mapping[str, Sequence[FollowedStream]]) -> Change:
        """Follow other streams from some origins, or, where one of them cannot be followed, change nothing.

        Parameters
        ----------
        wanted
            Streams by origin.

        Raises
        ------
        SourceError
            Where one cannot be followed.
        """


class Supervisor:
    """Looks after a service; an asynchronous context that listens for announcements.

    Parameters
    ----------
    service
        What it looks after.
    configuration
        The one in force.
    path
        File of the configuration; None where it is never read again.
    notifier
        Speaks to the service manager.
    status
        Returns a line for the service manager.

    Attributes
    ----------
    configuration
        The one in force.

    Raises
    ------
    RequestError
        On entering, where announcements cannot be listened for.
    """

    def __init__(
        self,
        service: SupervisedService,
        configuration: Configuration,
        path: Path | None,
        notifier: Notifier,
        status: Callable[[], str],
    ) -> None:
        self.configuration = configuration
        self._service = service
        self._files = ConfigurationFiles(path, configuration) if path else None
        self._notifier = notifier
        self._status = status
        self._announced = _announced_sessions(configuration)
        self._folders = [SdpFolder(table) for table in configuration.folder]
        self._mistakes: Sequence[str] = ()
        """What is wrong with files of folders and announced sessions at present."""
        self._reload_asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._announced is not None:
            self._announced.__enter__()
        try:
            await self._look_around(at_once=True)
        except BaseException:
            await self.__aexit__()
            raise
        self._note_reload(taken_over=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._announced is not None:
            self._announced.__exit__()

    def ask_reload(self) -> None:
        """Have the configuration read again soon, whether its file changed or not."""
        self._reload_asked.set()

    async def run(self) -> None:
        """Look around again and again, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reload_asked.wait(), WATCH_SECONDS)
            asked = self._reload_asked.is_set()
            self._reload_asked.clear()
            with self._service.defects.contained("supervisor", "configuration"):
                files = self._files
                if files and (asked or await asyncio.to_thread(files.have_changed)):
                    await self._reload(files)
            with self._service.defects.contained("supervisor", "folders and announcements"):
                await self._look_around(at_once=asked)
            with self._service.defects.contained("supervisor", "outlets"):
                await self._service.sink_set.retry()

    # The configuration ----------------------------------------------------------------------------------------------

    async def _reload(self, files: ConfigurationFiles) -> None:
        """Read the configuration again, and take it over as a whole or not at all."""
        self._notifier.reloading()
        try:
            configuration = await asyncio.to_thread(files.read)
            await self._take_over(configuration)
        except RequestError as error:
            for line in str(error).splitlines():
                self._service.log.error("configuration not applied", reason=line)
            self._note_reload(taken_over=False)
        except Exception:
            self._note_reload(taken_over=False)
            raise
        else:
            files.taken_over(configuration)
            self._note_reload(taken_over=True)
        finally:
            self._notifier.ready(self._status())

    async def _take_over(self, configuration: Configuration) -> None:
        """Continue with another configuration.

        Raises
        ------
        RequestError
            Where it cannot be obtained; then everything is as before.
        """
        before, service = self.configuration, self._service
        folders = [
            next((folder for folder in self._folders if folder.table == table), None) or SdpFolder(table)
            for table in configuration.folder
        ]
        wanted: dict[str, Sequence[FollowedStream]] = {CONFIGURED: configured_streams(configuration)}
        for folder in self._folders:
            if folder not in folders:
                wanted |= dict.fromkeys(folder.streams, ())
        announced = self._announced
        if configuration.announced != before.announced:
            announced = _announced_sessions(configuration)
            wanted |= dict.fromkeys(self._announced.streams if self._announced else (), ())
        origins = {origin: service.roster.followed_from(origin) for origin in wanted}
        async with AsyncExitStack() as undo:
            if announced is not None and announced is not self._announced:
                undo.enter_context(announced)
            change = service.follow(wanted)
            undo.callback(service.follow, origins)
            await service.sink_set.swap(sink_tables(before), sink_tables(configuration))
            undo.pop_all()
        if self._announced is not None and announced is not self._announced:
            self._announced.__exit__()
        self.configuration, self._folders, self._announced = configuration, folders, announced
        late = ["receive"] if configuration.receive != before.receive else []
        late += ["log.format"] if configuration.log.format != before.log.format else []
        if late:
            service.log.warning("takes effect at the next start", changed=late)
        names = {"added": change.added, "changed": change.changed, "removed": change.removed}
        service.log.info("configuration applied", **names)

    def _note_reload(self, *, taken_over: bool) -> None:
        """Let a scrape see how the last reading went."""
        snapshot = self._service.snapshot
        seconds = time.time() if taken_over else snapshot.last_reload_seconds
        self._service.snapshot = replace(snapshot, last_reload_successful=taken_over, last_reload_seconds=seconds)

    # Streams that come and go ---------------------------------------------------------------------------------------

    async def _look_around(self, *, at_once: bool = False) -> None:
        """Follow what folders hold and sessions announce now, and interfaces that came back."""
        service = self._service
        wanted: dict[str, Sequence[FollowedStream]] = {}
        mistakes: list[str] = []
        for folder in self._folders:
            look = await asyncio.to_thread(folder.look, at_once=at_once)
            wanted |= look.streams
            mistakes += look.mistakes
        if self._announced is not None:
            wanted |= self._announced.hear([stream.name for stream in service.roster])
            mistakes += self._announced.refused.values()
        mistakes += self._follow_each(wanted)
        for reason in mistakes:
            if reason not in self._mistakes:
                service.log.warning("not monitored", reason=reason)
        if len(mistakes) != len(self._mistakes):
            service.snapshot = replace(service.snapshot, sources_refused=len(mistakes))
        self._mistakes = mistakes
        gone, back = service.roster.follow_interfaces()
        if gone:
            service.log.warning("interface gone", interfaces=gone)
        if back:
            service.log.info("interface back", interfaces=back)

    def _follow_each(self, found: Mapping[str, Sequence[FollowedStream]]) -> list[str]:
        """Follow what was found outside the configuration; return why some of it cannot be."""
        roster = self._service.roster
        lost = [origin for origin in roster.origins if origin != CONFIGURED and origin not in found]
        wanted: dict[str, Sequence[FollowedStream]] = dict.fromkeys(lost, ()) | dict(found)
        wanted = {origin: new for origin, new in wanted.items() if list(new) != list(roster.followed_from(origin))}
        if not wanted:
            return []
        try:
            self._service.follow(wanted)
        except RequestError:
            reasons = []
            for origin, streams in wanted.items():  # what goes comes first: it may make room
                try:
                    self._service.follow({origin: streams})
                except RequestError as error:
                    reasons.append(str(error))
            return reasons
        return []


def configured_streams(configuration: Configuration) -> list[FollowedStream]:
    """Return the streams that the configuration itself names.

    Parameters
    ----------
    configuration
        The configuration.

    Returns
    -------
    list[FollowedStream]
        In its order.
    """
    return [table.followed for table in configuration.stream]


def _announced_sessions(configuration: Configuration) -> AnnouncedSessions | None:
    table = configuration.announced
    return None if table is None else AnnouncedSessions(table, configuration.receive.backend)
