"""Who does the work: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from rtpverify.commands.batch.job import MOST_ATTEMPTS, Job, Row, lost, verify
from rtpverify.commands.batch.members import Member
from rtpverify.commands.batch.shares import split
from rtpverify.errors import RequestError
from rtpverify.version import __version__

Work = Callable[[Job, Sequence[Member], int], list[Row]]
Group = tuple[Member, ...]

_GROUP_BYTES, _GROUP_MEMBERS = 4 << 20, 32
"""Small members go to a process together: handing over costs about a millisecond."""
_WAITING = 3
"""Groups handed over for each worker, so that none waits for the next."""
_SCHEDULER_SECONDS = 30
_DIED = "the process that verified it died"


def usable_cores() -> int:
    """Return how many cores this process may use.

    Returns
    -------
    int
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def grouped(members: Sequence[Member]) -> list[Group]:
    """Return members in groups that are worth handing over, the largest first: the last ones then end together.

    Parameters
    ----------
    members
        The members.

    Returns
    -------
    list[Group]
        Every member once.
    """
    groups: list[list[Member]] = []
    room = 0
    for member in sorted(members, key=_size, reverse=True):
        if not groups or room < _size(member) or len(groups[-1]) == _GROUP_MEMBERS:
            groups.append([])
            room = _GROUP_BYTES
        groups[-1].append(member)
        room -= _size(member)
    return [tuple(group) for group in groups]


def _size(member: Member) -> int:
    return _GROUP_BYTES if member.size_bytes is None else member.size_bytes


def in_processes(job: Job, members: Sequence[Member], processes: int, work: Work = verify) -> Iterator[list[Row]]:
    """Verify members in processes of this machine; yield rows as they are done.

    A process that dies (killed, out of memory) costs nothing but its member: whatever it had in hand is tried again,
    one member at a time, so that the guilty one shows.

    Parameters
    ----------
    job
        How they are verified.
    members
        What is verified.
    processes
        How many at a time.
    work
        What verifies a group.

    Yields
    ------
    list[Row]
        Rows of some members.
    """
    waiting: deque[tuple[Group, int]] = deque((group, 1) for group in grouped(split(members, processes)))
    suspects: deque[tuple[Group, int]] = deque()
    while waiting or suspects:
        handed: dict[Future[list[Row]], tuple[Group, int]] = {}
        with _pool(1 if suspects else min(processes, len(waiting))) as pool:
            try:
                source, most = (suspects, 1) if suspects else (waiting, _WAITING * processes)
                while source or handed:
                    while source and len(handed) < most:
                        group, attempt = source.popleft()
                        handed[pool.submit(work, job, group, attempt)] = group, attempt
                    for future in wait(handed, return_when=FIRST_COMPLETED).done:
                        rows = future.result()
                        del handed[future]
                        yield rows
            except BrokenProcessPool:
                for group, attempt in handed.values():
                    is_guilty = len(handed) == len(group) == 1
                    if is_guilty and attempt >= MOST_ATTEMPTS:
                        yield [lost(group[0], _DIED, attempt)]
                    else:
                        suspects += (((member,), attempt + is_guilty) for member in group)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _ignore_interrupt)


def _ignore_interrupt() -> None:
    """Let Ctrl-C end the first process, which then ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def on_cluster(job: Job, members: Sequence[Member], scheduler: str, work: Work = verify) -> Iterator[list[Row]]:
    """Verify members on a Dask cluster; yield rows as they are done.

    Parameters
    ----------
    job
        How they are verified.
    members
        What is verified.
    scheduler
        Address of its scheduler, such as ``tcp://192.0.2.10:8786``.
    work
        What verifies a group.

    Yields
    ------
    list[Row]
        Rows of some members.

    Raises
    ------
    RequestError
        Where the scheduler cannot be reached, or a worker has another version of rtpverify.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise RequestError(f"--scheduler {scheduler}: {error}; pip install 'rtpverify[batch]'") from error
    try:
        client = Client(scheduler, timeout=_SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise RequestError(f"--scheduler {scheduler}: cannot be reached: {error}") from error
    with client:
        _require_one_version(client, scheduler)
        shared = split(members, sum(client.nthreads().values()))
        yield from _gathered(
            client, as_completed(loop=client.loop), deque((group, 1) for group in grouped(shared)), partial(work, job)
        )


def _gathered(
    client: Any, done: Any, waiting: deque[tuple[Group, int]], work: Callable[[Group, int], list[Row]]
) -> Iterator[list[Row]]:
    """Hand groups to a cluster, a few for each of its threads, and yield rows as they come back.

    Dask itself tries again what a worker had in hand that died; what it gives up is tried alone.
    """
    handed: dict[Any, tuple[Group, int]] = {}

    def hand_over() -> None:
        most = _WAITING * max(1, sum(client.nthreads().values()))
        while waiting and len(handed) < most:
            group, attempt = waiting.popleft()
            future = client.submit(work, group, attempt, pure=False)
            handed[future] = group, attempt
            done.add(future)

    hand_over()
    for future in done:
        group, attempt = handed.pop(future)
        failure = future.exception()
        if failure is None:
            yield future.result()
        elif len(group) > 1:
            waiting.extend(((member,), attempt) for member in group)
        elif attempt >= MOST_ATTEMPTS:
            yield [lost(group[0], f"{_DIED}: {failure}", attempt)]
        else:
            waiting.append((group, attempt + 1))
        hand_over()


def _require_one_version(client: Any, scheduler: str) -> None:
    """Refuse a cluster with a worker that would find something else, or has no rtpverify."""
    try:
        client.wait_for_workers(1, timeout=_SCHEDULER_SECONDS)
    except TimeoutError as error:
        raise RequestError(f"--scheduler {scheduler}: has no workers") from error
    try:
        versions = client.run(_version)
    except ModuleNotFoundError as error:
        raise RequestError(f"--scheduler {scheduler}: a worker has no rtpverify: {error}") from error
    for worker, version in versions.items():
        if version != __version__:
            raise RequestError(
                f"--scheduler {scheduler}: worker {worker} has rtpverify {version}, this is {__version__}; "
                "install one version on all"
            )


def _version() -> str:
    return __version__
