from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.evidence.case import Case, Kept, Span, files_of, packets_of
from rtpverify.evidence.packet_history import PacketHistory
from rtpverify.evidence.worker_process import NICENESS, Maker
from rtpverify.rtp.payload import parse_rtpmap
from tests.helpers.faulty import packets
from tests.helpers.patience import PATIENCE_SECONDS
from tests.helpers.processes import started_processes

SPAN = Span(10**9, 10**9, 10**9)


@pytest.fixture(scope="module")
def case() -> tuple[Case, Kept]:
    ring, cases = PacketHistory(10, 1 << 30), []
    verifier = Verifier([StreamSpec("left", encoding=parse_rtpmap("L16/8000/1"))])
    for batch in packets(["loss:at=1,packets=3"], 2, encoding="L16/8000/1", packet_frames=80):
        ring.put(batch)
        for told in verifier.feed(batch):
            document = {"stream": "left", "kind": "gap", "cause": "network", "channel": None, "packets": None}
            document |= {"message": "", "time": None, "id": "0" * 12, "open": False, "duration_frames": 0}
            cases.append(Case.of(told.stream, told.event, document, 0))
    kept = packets_of(cases[0], ring.pieces(), SPAN)
    assert kept
    return cases[0], kept


@pytest.fixture
def maker() -> Iterator[Maker]:
    maker = Maker()
    yield maker
    maker.close()


def test_the_process_makes_what_we_would_make(
    maker: Maker, case: tuple[Case, Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = started_processes(monkeypatch)
    assert maker.files_of(*case) == files_of(*case)
    (process,) = processes
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    for number in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    assert maker.files_of(*case) == files_of(*case)
    assert processes == [process]


def test_a_mistake_of_ours_is_told_and_the_next_case_is_made(maker: Maker, case: tuple[Case, Kept]) -> None:
    with pytest.raises(RuntimeError, match="NoneType"):
        maker.files_of(None, case[1])  # type: ignore[arg-type]
    assert maker.files_of(*case)


def test_it_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-m", "rtpverify.evidence.worker_process"]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_SECONDS)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


def test_once_closed_it_makes_no_more(case: tuple[Case, Kept]) -> None:
    maker = Maker()
    maker.files_of(*case)
    maker.close()
    maker.close()
    with pytest.raises(OSError, match="no more evidence is written"):
        maker.files_of(*case)
