"""A live check that runs with the code that drives the device: a context manager, for ``with`` and ``async with``.

The check runs in a thread with an event loop of its own, so that neither a test that blocks nor a loop that is already
running (a notebook's, pytest-asyncio's) delays the receiving. What the caller wants of it is asked for through futures;
the thread answers after its next drain, at the latest after 60 ms.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from rtpverify.errors import NothingArrived, RequestError
from rtpverify.live.watcher import Watcher

if TYPE_CHECKING:
    from rtpverify.engine.verifier import Verifier
    from rtpverify.events import Event
    from rtpverify.evidence.packet_history import PacketHistory
    from rtpverify.result import Result
    from rtpverify.rtp.batch import PacketBatch

WAIT_SECONDS = 10.0
"""How long to wait for audio where nothing else is said."""

OnListening = Callable[[Sequence[object]], None]
RunCheck = Callable[[Watcher, OnListening], "Result"]
"""Runs a live check: with who follows it, and what is called once the sockets are bound."""

T = TypeVar("T")


class _Follower(Watcher):
    """What the check and its caller exchange; each method says whose thread calls it."""

    def __init__(self, packets: PacketHistory | None) -> None:
        self.packets = packets
        self.is_to_stop = threading.Event()
        self.listening: Future[None] = Future()
        self.arrived: Future[None] = Future()
        self.done: Future[Result] = Future()
        self._lock = threading.Lock()
        self._asked: list[Future[Result]] = []

    def so_far(self) -> Result:
        """Return the result as it is now, or the final one (caller)."""
        with self._lock:
            if self.done.done():
                return self.done.result()
            answer: Future[Result] = Future()
            self._asked.append(answer)
        return answer.result()

    def run(self, check: RunCheck) -> None:
        """Run the check to its end (thread)."""
        try:
            result = check(self, lambda _endpoints: self.listening.set_result(None))
        except BaseException as error:  # the caller gets it, whatever it is
            if isinstance(error, RequestError):
                error = _bare(error)
            with self._lock:
                for answer in (self.done, *self._asked):
                    answer.set_exception(error)
                for waiting in (self.listening, self.arrived):
                    if not waiting.done():
                        waiting.set_exception(error)
            return
        with self._lock:
            for answer in (self.done, *self._asked):
                answer.set_result(result)
        if not self.arrived.done():
            self.arrived.set_exception(NothingArrived(f"{result.source}: the check ended before any audio arrived"))

    def begin(self, verifier: Verifier, found: Callable[[], Result]) -> None:
        """Take what verifies (thread)."""
        self._verifier, self._found = verifier, found

    def take(self, batch: PacketBatch) -> None:
        """Remember packets (thread)."""
        if self.packets is not None:
            self.packets.put(batch)

    def tick(self, now_ns: int) -> bool:
        """See whether audio came, and answer (thread)."""
        del now_ns
        if self._verifier.streams and not self.arrived.done():
            self.arrived.set_result(None)
        if self._asked:
            with self._lock:
                asked, self._asked = self._asked, []
            result = self._found()
            for answer in asked:
                answer.set_result(result)
        return self.is_to_stop.is_set()


class LiveVerifier:
    """Verifies a live source while a block runs: ``with`` or ``async with``.

    The sockets are bound once the block begins, and closed when it ends, however it ends. Made by
    :func:`rtpverify.verify`.

    Parameters
    ----------
    source
        As given.
    check
        Runs it.
    lasts
        Whether the block lasts until the check ends by itself, if audio came.
    evidence
        Folder for what is kept of a check that does not pass.

    Attributes
    ----------
    source
        As given.
    evidence
        Folder with result, report and packets; None unless evidence was wanted, and the check did not pass or the
        block raised.
    """

    def __init__(self, source: str, check: RunCheck, *, lasts: bool = False, evidence: Path | None = None) -> None:
        self.source = source
        self.evidence: Path | None = None
        self._check = check
        self._lasts = lasts
        self._folder = evidence
        self._was_asked = False
        self._is_closed = False
        self._follower: _Follower | None = None
        self._thread: threading.Thread | None = None

    # The block ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._follower is None:
            follower = self._begin()
            try:
                follower.listening.result()
            except BaseException:  # an interrupt too: no block begins, so none ends
                follower.is_to_stop.set()
                raise
        return self._refuse_second_use()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        follower = self._running()
        try:
            if error is None and self._waits_for_end():
                follower.done.exception()
        finally:
            follower.is_to_stop.set()
            follower.done.exception()
            self._close(error)

    async def __aenter__(self) -> Self:
        if self._follower is None:
            follower = self._begin()
            try:
                await _awaited(follower.listening)
            except BaseException:
                follower.is_to_stop.set()
                raise
        return self._refuse_second_use()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        follower = self._running()
        try:
            if error is None and self._waits_for_end():
                with suppress(RequestError):
                    await _awaited(follower.done)
        finally:
            follower.is_to_stop.set()
            with suppress(RequestError):
                await asyncio.shield(_awaited(follower.done))
            self._close(error)

    # Inside the block -----------------------------------------------------------------------------------------------

    def wait_for_audio(self, timeout: float = WAIT_SECONDS) -> None:
        """Return once the first RTP packet that counts to the stream has arrived.

        Parameters
        ----------
        timeout
            Seconds to wait.

        Raises
        ------
        NothingArrived
            Where none arrives in this time, or before the check ends.
        RequestError
            Where the check fails, such as for an unknown encoding.
        """
        follower = self._running()
        try:
            follower.arrived.result(timeout)
        except TimeoutError:
            raise NothingArrived(self._what_arrived(timeout, follower.so_far())) from None

    async def wait_for_audio_async(self, timeout: float = WAIT_SECONDS) -> None:
        """Do the same as :meth:`wait_for_audio` while other tasks of the event loop run.

        Parameters
        ----------
        timeout
            Seconds to wait.

        Raises
        ------
        NothingArrived
            Where no packet came in time.
        """
        follower = self._running()
        try:
            await _awaited(follower.arrived, timeout)
        except TimeoutError:
            raise NothingArrived(self._what_arrived(timeout, follower.so_far())) from None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the check ends by itself: its duration is over, or with ``until_end`` its streams have ended.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: for as long as it takes.

        Returns
        -------
        bool
            Whether it ended within ``timeout`` seconds.
        """
        with suppress(RequestError):
            try:
                self._running().done.result(timeout)
            except TimeoutError:
                return False
        return True

    async def wait_async(self, timeout: float | None = None) -> bool:
        """Do the same as :meth:`wait` while other tasks of the event loop run.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: for as long as it takes.

        Returns
        -------
        bool
            Whether it ended in time.
        """
        with suppress(RequestError):
            try:
                await _awaited(self._running().done, timeout)
            except TimeoutError:
                return False
        return True

    def events(self) -> list[Event]:
        """Return the events so far of all streams, in order of their first frame; after the block, all of them.

        Returns
        -------
        list[Event]
            Events that are open may still change.
        """
        events = [event for stream in self.result.streams for event in stream.events]
        return sorted(events, key=lambda event: event.start_frame)

    def stop(self) -> Result:
        """End the check now, and return its result; the block may continue.

        Returns
        -------
        Result
            What was found; final.
        """
        follower = self._running()
        follower.is_to_stop.set()
        follower.done.exception()
        return self.result

    async def stop_async(self) -> Result:
        """Do the same as :meth:`stop` while other tasks of the event loop run.

        Returns
        -------
        Result
            What was found; final.
        """
        follower = self._running()
        follower.is_to_stop.set()
        with suppress(RequestError):
            await _awaited(follower.done)
        return self.result

    @property
    def result(self) -> Result:
        """What was found: so far, or after the block or :meth:`stop` in all.

        Raises
        ------
        RequestError
            Where the check failed.
        """
        self._was_asked = True
        return self._running().so_far()

    @property
    def was_asked(self) -> bool:
        """Whether anybody asked what was found: the result or the events."""
        return self._was_asked

    @property
    def is_running(self) -> bool:
        """Whether it receives."""
        return self._follower is not None and not self._follower.done.done()

    def keep_evidence(self, folder: str | Path, error: BaseException | None = None) -> None:
        """Write the result, its report and, where evidence was wanted, the packets into a folder; it must have ended.

        Parameters
        ----------
        folder
            The folder; made where it is not there.
        error
            What the block raised.

        Raises
        ------
        OutputError
            Where it cannot be written.
        """
        from rtpverify.evidence.check_folder import keep_check, packet_memory

        follower = self._running()
        failed = follower.done.exception()
        why = error or failed
        text = None if why is None else "".join(traceback.format_exception(why))
        result = None if failed else follower.done.result()
        keep_check(Path(folder), result, follower.packets or packet_memory(), text)
        self.evidence = Path(folder)

    # ----------------------------------------------------------------------------------------------------------------

    def _begin(self) -> _Follower:
        packets = None
        if self._folder is not None:
            from rtpverify.evidence.check_folder import packet_memory

            packets = packet_memory()
        self._follower = follower = _Follower(packets)
        # A daemon, so that a program that ends in the middle of a block does end.
        self._thread = threading.Thread(target=follower.run, args=(self._check,), name="rtpverify", daemon=True)
        self._thread.start()
        return follower

    def _refuse_second_use(self) -> Self:
        if self._running().done.done():
            raise RequestError(f"verify {self.source}: has ended; call rtpverify.verify again for another check")
        return self

    def _running(self) -> _Follower:
        if self._follower is None:
            raise RequestError(
                f"verify {self.source}: not begun; use it as a context manager: with rtpverify.verify(...) as verifier"
            )
        return self._follower

    def _waits_for_end(self) -> bool:
        """Whether the block lasts until the duration is over: where one was given, and audio came."""
        follower = self._running()
        came = follower.arrived.done() and follower.arrived.exception() is None
        return self._lasts and came and not follower.is_to_stop.is_set()

    def _close(self, error: BaseException | None) -> None:
        """Keep evidence of what ended, and raise what the check itself failed with unless the block raised, too."""
        follower = self._running()
        if self._thread is not None:
            self._thread.join()
        failed = follower.done.exception()
        if self._is_closed:
            return
        self._is_closed = True
        if failed is None and follower.arrived.exception() is not None:
            follower.done.result().warnings.append(
                "the check ended before any audio arrived; start the sender within it, and call "
                "verifier.wait_for_audio(timeout=...) before it ends"
            )
        if self._folder is not None and (failed or error or not follower.done.result()):
            self.keep_evidence(self._folder, error)
        if failed is not None:
            if error is None:
                raise failed
            error.add_note(f"rtpverify: {failed}")

    def _what_arrived(self, timeout: float, result: Result) -> str:
        """Say that no audio came, what came instead, and what to do."""
        from rtpverify.report.discarded import in_words

        other = in_words(result.discarded)
        came = f"what arrived was {other}" if other else "no datagram arrived at all"
        return (
            f"{self.source}: no RTP stream within {timeout:g} s: {came}. Start the sender after the block has begun, "
            "and check its destination, the network interface and the firewall"
        )


def _bare(error: RequestError) -> RequestError:
    """Return a caller's mistake without the way it took through this thread: its message says all."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


async def _awaited(future: Future[T], timeout: float | None = None) -> T:
    """Return what a future of another thread holds, TimeoutError where it holds nothing in time."""
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def tell(_future: Future[T]) -> None:
        with suppress(RuntimeError):  # a loop that gave up waiting may be closed
            loop.call_soon_threadsafe(settled.set)

    future.add_done_callback(tell)
    async with asyncio.timeout(timeout):
        await settled.wait()
    return future.result()


def in_own_thread(call: Callable[[], T]) -> T:
    """Run something that runs an event loop of its own, as it may not where the caller's loop runs.

    Parameters
    ----------
    call
        What is run.

    Returns
    -------
    T
        What it returns; what it raises is raised here.
    """
    with ThreadPoolExecutor(1, "rtpverify") as executor:
        return executor.submit(call).result()
