"""One large capture for several workers: each checks a share of its streams, and its row is what one would have found.

See :mod:`rtpverify.engine.share` for why streams are shared, and not time. A recording is one stream: one worker checks
it, and those that find that there is nothing to share are done at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rtpverify.commands.batch.job import Row, Status, of_result
from rtpverify.commands.batch.members import Member
from rtpverify.engine.share import Share, merged

LARGE_BYTES = 64 << 20
"""Members from this size on are shared: each share reads the whole member."""
MOST_SHARES = 32


def split(members: Iterable[Member], workers: int) -> list[Member]:
    """Return members, the large ones once for each share of their streams.

    Parameters
    ----------
    members
        The members.
    workers
        How many there are to do the work.

    Returns
    -------
    list[Member]
        Whole ones, and shares.
    """
    shares = min(workers, MOST_SHARES)
    found = []
    for member in members:
        if shares > 1 and member.size_bytes is not None and member.size_bytes >= LARGE_BYTES:
            found += [replace(member, share=Share(number, shares)) for number in range(shares)]
        else:
            found.append(member)
    return found


class Joining:
    """Puts the rows of shares together."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[Row]] = defaultdict(list)

    def take(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of members that are complete with these.

        Parameters
        ----------
        rows
            Of members, and of shares.

        Returns
        -------
        list[Row]
            Of members.
        """
        whole = []
        for row in rows:
            if "share" not in row:
                whole.append(row)
                continue
            shares = self._waiting[row["member"]]
            shares.append(row)
            if len(shares) == row["share"].of:
                whole.append(_joined(self._waiting.pop(row["member"])))
        return whole


def _joined(shares: list[Row]) -> Row:
    """Return the row of a member; one share that failed is what became of all of it."""
    shares.sort(key=lambda row: row["share"])
    failed = [row for row in shares if "part" not in row]
    row: dict[str, Any] = {key: value for key, value in shares[0].items() if key not in ("share", "part")}
    if failed:
        worst = next((one for one in failed if one["status"] is Status.DEFECT), failed[0])
        row |= {key: worst.get(key) for key in ("status", "error", "traceback", "result") if key in worst}
    else:
        row |= of_result(merged([one["part"] for one in shares if one["part"] is not None]))
    row["attempts"] = max(one["attempts"] for one in shares)
    if all("seconds" in one for one in shares):
        row["seconds"] = round(sum(one["seconds"] for one in shares), 3)
        row["worker"] = ", ".join(dict.fromkeys(one["worker"] for one in shares))
    return row
