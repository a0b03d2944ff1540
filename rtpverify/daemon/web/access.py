"""Who may look: a bearer token, a user with a password, or anybody.

Secrets are kept and compared as digests in constant time: neither content nor length shows in how long an answer takes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Self


@dataclass(frozen=True, slots=True)
class Secret:
    """A token or password, of which only the digest is kept."""

    digest: bytes

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Return a secret of this text.

        Parameters
        ----------
        text
            The secret.
        """
        return cls(sha256(text).digest())

    def __repr__(self) -> str:
        return "Secret()"

    def is_equal(self, text: bytes) -> bool:
        """Return whether a text is the secret.

        Parameters
        ----------
        text
            What was given.

        Returns
        -------
        bool
            Found in the same time whatever was given.
        """
        return compare_digest(self.digest, sha256(text).digest())


@dataclass(frozen=True, slots=True)
class Access:
    """What a request has to bring; nothing where there is neither token nor password."""

    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None

    @property
    def is_needed(self) -> bool:
        """Whether a request has to bring anything."""
        return self.token is not None or self.password is not None

    @property
    def challenges(self) -> list[str]:
        """What an answer to a request that brought nothing asks for (RFC 9110 section 11.6.1)."""
        # A browser asks its user for a password where it is offered Basic; the token serves as one.
        bearer = ['Bearer realm="rtpverify"'] if self.token is not None else []
        return [*bearer, 'Basic realm="rtpverify", charset="UTF-8"']

    def allows(self, authorization: str | None) -> bool:
        """Return whether the value of an ``Authorization`` header opens the door.

        Parameters
        ----------
        authorization
            The header's value; None where there is none.

        Returns
        -------
        bool
            Whether it does; always where no secret is configured.
        """
        if not self.is_needed:
            return True
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        given = credentials.strip()
        match scheme.lower():
            case "bearer":
                return self.token is not None and self.token.is_equal(given.encode("utf-8", "surrogateescape"))
            case "basic":
                return self._allows_basic(given)
        return False

    def _allows_basic(self, given: str) -> bool:
        try:
            name, _, password = base64.b64decode(given, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        as_token = self.token is not None and self.token.is_equal(password)
        as_user = (
            self.user is not None
            and self.password is not None
            and compare_digest(sha256(self.user.encode()).digest(), sha256(name).digest())
            & self.password.is_equal(password)
        )
        return as_token or as_user
