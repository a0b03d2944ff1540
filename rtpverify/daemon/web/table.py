"""The table ``[metrics]``: where the server listens, and who may look."""

from __future__ import annotations

import re
import ssl
from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from rtpverify.daemon.config.base import Listen, ListenField, content_of, mistake, text_of
from rtpverify.daemon.config.files import PemField, load_chain
from rtpverify.daemon.sinks.base import SinkTable
from rtpverify.daemon.web.access import Access, Secret
from rtpverify.daemon.web.host_names import HostNames

LEAST_SECRET_CHARACTERS = 8
_HOST = re.compile(r"[a-z0-9.*?\[\]_-]+", re.IGNORECASE)


def _secret(value: object, info: ValidationInfo) -> Secret:
    path, content = content_of(value, info)
    lines = content.split(b"\n")
    if any(line.strip() for line in lines[1:]):
        raise mistake(f"{path}: holds more than one line")
    secret = lines[0].strip()
    if len(secret) < LEAST_SECRET_CHARACTERS:
        raise mistake(f"{path}: holds fewer than {LEAST_SECRET_CHARACTERS} characters")
    return Secret.of(secret)


def _host(value: object) -> str:
    text = text_of(value)
    if not _HOST.fullmatch(text):
        raise mistake("is not a host name, or a pattern of some, without port")
    return text.lower()


class MetricsTable(SinkTable):
    """``[metrics]``: the HTTP server, which also has the API and the live page."""

    listen: ListenField = Listen("127.0.0.1", 9464)
    token_file: Annotated[Secret, BeforeValidator(_secret)] | None = None
    """Holds a bearer token; a browser takes it as the password of any user."""
    user: Annotated[str, Field(strict=True, min_length=1, pattern="^[^:]+$")] | None = None
    password_file: Annotated[Secret, BeforeValidator(_secret)] | None = None
    certificate: PemField | None = None
    """PEM, with the chain; with it the server speaks TLS alone."""
    key: PemField | None = None
    """PEM; omitted where it is in the file of the certificate."""
    hosts: tuple[Annotated[str, BeforeValidator(_host)], ...] = ()
    """Patterns of names that the server answers as, with ``*``, ``?`` and ``[...]``; see :meth:`host_names`."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise mistake("user and password_file go together")
        if self.key is not None and self.certificate is None:
            raise mistake("key goes with a certificate")
        self.tls()
        return self

    def access(self) -> Access:
        """Return who may look.

        Returns
        -------
        Access
            Everybody, where neither token nor password is configured.
        """
        return Access(self.token_file, self.user, self.password_file)

    def tls(self) -> ssl.SSLContext | None:
        """Return what encrypts, None where nothing does.

        Returns
        -------
        ssl.SSLContext or None
            TLS 1.2 and later.
        """
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_chain(context, self.certificate, self.key)
        return context

    @property
    def is_open(self) -> bool:
        """Whether anybody on the network may look."""
        return not (self.access().is_needed or self._is_local)

    @property
    def _is_local(self) -> bool:
        return ip_address(self.listen.address).is_loopback

    def host_names(self) -> HostNames | None:
        """Return what requests may call the server; None where they may call it anything.

        A page from elsewhere has neither token nor password, and is stopped by a certificate that is not its own. On
        an address of the network nobody knows all the names that lead there (of a container, a service, a proxy).

        Returns
        -------
        HostNames or None
            Names that are compared with the header ``Host``.
        """
        lets_pages_in = self._is_local and not self.access().is_needed and self.certificate is None
        return HostNames(self.hosts) if self.hosts or lets_pages_in else None
