"""What a request may call this server, so that no page from elsewhere reads along.

DNS rebinding: once a page of ``evil.example`` is loaded, that name is made to lead to 127.0.0.1, and the browser takes
what is answered here for the page's own. The request gives it away, for it still says ``Host: evil.example``. A
numeric address cannot be made to lead elsewhere, nor can ``localhost`` (RFC 6761 section 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?::[0-9]*)?")
"""``HOST[:PORT]`` (RFC 9110 section 7.2)."""


@dataclass(frozen=True, slots=True)
class HostNames:
    """Names that a server answers as, besides ``localhost`` and every numeric address.

    Attributes
    ----------
    patterns
        In lower case, with ``*``, ``?`` and ``[...]``.
    """

    patterns: tuple[str, ...] = ()

    def strange(self, hosts: Iterable[str]) -> str | None:
        """Return the first of some values of ``Host`` that is no name of the server, None where there is none.

        A request without the header comes from no browser, and is none of a page.

        Parameters
        ----------
        hosts
            Values of the header.

        Returns
        -------
        str or None
            The value as it was sent.
        """
        return next((host for host in hosts if not self._knows(host)), None)

    def _knows(self, host: str) -> bool:
        found = _AUTHORITY.fullmatch(host.strip())
        if found is None:
            return False
        name = (found["v6"] or found["name"]).lower().removesuffix(".")
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return any(fnmatchcase(name, pattern) for pattern in self.patterns)
        return True
