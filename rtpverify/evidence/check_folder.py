"""The folder of a check that did not pass: result, report, and the packets as they arrived, to be checked again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.errors import OutputError
from rtpverify.evidence.packet_history import PacketHistory, select
from rtpverify.evidence.pcap_writer import pcap
from rtpverify.report import html, json

if TYPE_CHECKING:
    from rtpverify.result import Result

FILES = RESULT, REPORT, PACKETS, ERROR = "result.json", "report.html", "packets.pcap", "error.txt"
MAX_PACKET_BYTES = 1 << 28
"""Of packets that are remembered: 15 minutes of a stereo stream in 24 bits. Then the oldest are forgotten."""
_MAX_SECONDS = 1e6
_END_NS = 1 << 62


def packet_memory() -> PacketHistory:
    """Return what remembers the packets of a check.

    Returns
    -------
    PacketHistory
        Empty, and bounded in time and bytes.
    """
    return PacketHistory(_MAX_SECONDS, MAX_PACKET_BYTES)


def keep_check(folder: Path, result: Result | None, packets: PacketHistory, error: str | None = None) -> None:
    """Write what there is of a check into a folder, in place of what an earlier one left there.

    Parameters
    ----------
    folder
        The folder; it is made where it is not there.
    result
        None where the check itself failed.
    packets
        Datagrams of the check, as far as they are remembered.
    error
        What ended it early, as Python prints it.

    Raises
    ------
    OutputError
        Where it cannot be written.
    """
    files: dict[str, str | bytes] = {}
    if result is not None:
        files |= {RESULT: json.render(result), REPORT: html.render(result)}
    batch = select(packets.pieces(), lambda _: True, None, 0, _END_NS)
    if len(batch):
        files[PACKETS] = pcap(batch)
    if error is not None:
        files[ERROR] = error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if name in files:
                _write_whole(folder / name, files[name])
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as problem:
        raise OutputError(f"evidence {folder}: {problem.strerror}") from problem


def _write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that bears its name only once it is whole."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
