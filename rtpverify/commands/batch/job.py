"""What is done with each member, in whichever process or machine: one check, one row."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rtpverify.commands.batch.members import Member, at_hand, is_remote
from rtpverify.errors import DamagedError, RequestError, SourceError
from rtpverify.failure import in_one_line
from rtpverify.limits import Limits
from rtpverify.result import Request, Result
from rtpverify.version import __version__

MOST_ATTEMPTS = 3
"""How often a member is tried that a store, a disk or a process failed to give."""
_PAUSE_SECONDS = 0.5

Row = dict[str, Any]


class Status(StrEnum):
    """What became of a member: a verdict, or why there is none."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    UNREADABLE = "unreadable"
    DEFECT = "defect"
    """An internal error in rtpverify."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every member is checked for; the same as the options of ``rtpverify check``.

    Attributes
    ----------
    request
        What was asked for, as it is part of every result.
    """

    request: Request
    reference: str
    limits: Limits
    encoding: str | None = None
    sdp: str | None = None
    streams: tuple[str, ...] = ()
    redundant: bool = False
    duration_seconds: float | None = None


def verify(job: Job, members: Sequence[Member], attempt: int = 1) -> list[Row]:
    """Return a row for each member; whatever is in it, none raises.

    Parameters
    ----------
    job
        How they are verified.
    members
        What is verified.
    attempt
        The how many-th this is: a process that died, or a machine that went away, counts.

    Returns
    -------
    list[Row]
        In the same order.
    """
    return [_row(job, member, attempt) for member in members]


def lost(member: Member, reason: str, attempts: int) -> Row:
    """Return the row of a member that was not verified because its process died each time.

    Parameters
    ----------
    member
        The member.
    reason
        How it died the last time.
    attempts
        How often it was tried.

    Returns
    -------
    Row
        Of a member that is unreadable.
    """
    return {**_about(member), "status": Status.UNREADABLE, "error": reason, "attempts": attempts, "result": None}


def _about(member: Member) -> Row:
    about = {"member": member.address, "size_bytes": member.size_bytes, "version": member.version}
    return {**about, "share": member.share} if member.share.of > 1 else about


def _row(job: Job, member: Member, attempt: int) -> Row:
    began = time.monotonic()
    while True:
        outcome, may_pass = _outcome(job, member)
        if not may_pass or attempt >= MOST_ATTEMPTS:
            break
        time.sleep(_PAUSE_SECONDS * attempt)
        attempt += 1
    seconds = round(time.monotonic() - began, 3)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return {**_about(member), **outcome, "attempts": attempt, "seconds": seconds, "worker": worker}


def _outcome(job: Job, member: Member) -> tuple[Row, bool]:
    """Return status, error and result of a member, and whether another attempt may do better."""
    try:
        with at_hand(member) as path:
            result = _checked(job, member, path)
            # What is no share is there.
            return ({"part": result} if member.share.of > 1 or result is None else of_result(result)), False
    except DamagedError as error:
        return {"status": Status.UNREADABLE, "error": str(error), "result": None}, False
    except SourceError as error:
        failed = isinstance(error.__cause__, OSError) or is_remote(member.address)
        gone = isinstance(error.__cause__, FileNotFoundError | PermissionError | IsADirectoryError)
        return {"status": Status.UNREADABLE, "error": str(error), "result": None}, failed and not gone
    except RequestError as error:
        return {"status": Status.UNREADABLE, "error": str(error), "result": None}, False
    except Exception as error:
        return _defect(in_one_line(error), traceback.format_exc(), None), False


def _defect(message: str, text: str, result: Any) -> Row:
    """Return the outcome of an internal error; ``traceback`` is its text until whoever gathers rows keeps it."""
    return {"status": Status.DEFECT, "error": message, "traceback": text, "result": result}


def of_result(result: Result) -> Row:
    """Return the outcome of a check.

    Parameters
    ----------
    result
        What was found.

    Returns
    -------
    Row
        Status, error and result.
    """
    from rtpverify.report.json import strict

    document = strict(result.to_dict())
    if result.failures:
        return _defect(result.failures[0].message, result.failures[0].traceback, document)
    return {"status": Status(str(result.verdict)), "error": None, "result": document}


def _checked(job: Job, member: Member, path: Path) -> Result | None:
    """Return what was found of a member, or of a share of it: None where there is nothing to share."""
    from rtpverify.commands.check import check, has_packets
    from rtpverify.sources.audio.reference_text import parse_reference

    if job.request.version != __version__:
        raise RequestError(f"worker {socket.gethostname()} has rtpverify {__version__}, not {job.request.version}")
    if member.share.number > 0 and not has_packets(str(path)):
        return None
    result = check(
        str(path),
        reference=parse_reference(job.reference),
        limits=job.limits,
        **_of_packets(job, path),
        duration_seconds=job.duration_seconds,
        share=member.share,
    )
    result.source = member.address
    result.request = job.request
    return result


def _of_packets(job: Job, path: Path) -> dict[str, Any]:
    """Return what a check takes of captures only: a recording states its own encoding, and has no streams."""
    from rtpverify.commands.check import has_packets
    from rtpverify.rtp.payload import parse_rtpmap

    if not has_packets(str(path)):
        return {}
    return {
        "encoding": parse_rtpmap(job.encoding) if job.encoding else None,
        "sdp": Path(job.sdp) if job.sdp else None,
        "streams": job.streams,
        "redundant": job.redundant,
    }
