"""Verify an archive: find its members, verify those that remain, write one table and one page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2s

from rtpverify.commands.batch import summary, tables
from rtpverify.commands.batch.folder import Folder, open_folder
from rtpverify.commands.batch.job import Job, Row
from rtpverify.commands.batch.journal import Journal
from rtpverify.commands.batch.members import find_members
from rtpverify.commands.batch.shares import Joining
from rtpverify.commands.batch.workers import in_processes, on_cluster, usable_cores
from rtpverify.version import __version__

PAGE = "summary.html"


Progress = Callable[[int, int], object]
"""Takes in how many members are done, of how many."""


def batch(
    patterns: Iterable[str],
    out: str,
    job: Job,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    form: str = "jsonl",
    progress: Callable[[int], AbstractContextManager[Progress]] | None = None,
) -> list[Row]:
    """Verify the members of an archive that were not verified yet, and write the table and the page of all.

    Parameters
    ----------
    patterns
        What :func:`rtpverify.commands.batch.members.find_members` takes.
    out
        The folder of the run, a path or an address; a run that was stopped continues from what is there.
    job
        What is asked for.
    processes
        On this machine; None: one for each core.
    scheduler
        Of a Dask cluster, which then does the work.
    form
        Of the table, one of :data:`rtpverify.commands.batch.tables.FORMATS`.
    progress
        Called with how many members there are; what it gives is called after each group.

    Returns
    -------
    list of dict
        A row for each member, in order of their addresses.

    Raises
    ------
    RequestError
        Where the request is unusable: a store or scheduler that cannot be reached, a folder that holds another run.
        What is wrong with a member is in its row.
    """
    tables.require_form(form)
    members = find_members(patterns)
    folder = open_folder(out)
    journal = Journal(folder, job)
    remaining = journal.remaining(members)
    if scheduler is not None:
        groups = on_cluster(job, remaining, scheduler)
    else:
        groups = in_processes(job, remaining, processes or usable_cores())
    done, joining = len(members) - len(remaining), Joining()
    with progress(len(members)) if progress else nullcontext(_ignore) as say:
        say(done, len(members))
        try:
            for found in groups:
                rows = joining.take(found)
                journal.add([_with_traceback_kept(folder, row) for row in rows])
                done += len(rows)
                say(done, len(members))
        finally:
            journal.write()
    rows = [journal.rows[member.address] for member in members]
    folder.write(tables.table_name(form), tables.table(rows, form))
    folder.write(PAGE, summary.page(rows, job.request).encode("utf-8", "backslashreplace"))
    return rows


def _with_traceback_kept(folder: Folder, row: Row) -> Row:
    """Write the traceback of an internal error to a file of the run; the same one of many members is one file."""
    text = row.get("traceback")
    if text is None:
        return row
    content = f"rtpverify {__version__}\n\n{text}".encode("utf-8", "backslashreplace")
    name = f"defect-{blake2s(content, digest_size=6).hexdigest()}.txt"
    folder.write(name, content)
    return {**row, "traceback": name}


def _ignore(_done: int, _members: int) -> None:
    """Take progress that nobody asked for."""
