"""Who follows a live check while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtpverify.engine.verifier import Verifier
    from rtpverify.result import Result
    from rtpverify.rtp.batch import PacketBatch


class Watcher:
    """Follows a live check; this one ignores it. All methods are called on its event loop, and must be quick."""

    def begin(self, verifier: Verifier, found: Callable[[], Result]) -> None:
        """Take what verifies, and what returns the result so far.

        Parameters
        ----------
        verifier
            The verifier.
        found
            Returns the result so far.
        """

    def take(self, batch: PacketBatch) -> None:
        """Take the datagrams of a drain, before they are verified; their bytes are only lent.

        Parameters
        ----------
        batch
            The datagrams.
        """

    def tick(self, now_ns: int) -> bool:
        """Take the time in ns since the Unix epoch, after each drain; return whether the check is to end.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.

        Returns
        -------
        bool
            Whether the check is to end.
        """
        del now_ns
        return False
