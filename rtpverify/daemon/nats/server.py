"""Which NATS server, how it is reached, and one connection to it.

Rules: a connection that is lost is over; whoever holds it makes another one when it chooses to. ``nats`` is imported
where it is used: it is an extra.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, model_validator

from rtpverify.daemon.config.base import Table, mistake, path_of, text_of
from rtpverify.daemon.config.files import CertificatesFile, PemField, SecretFile, load_chain, secret_in, trusting
from rtpverify.daemon.nats.subjects import EVENTS, STATES, TAKES, subject
from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

AnyAnswer = TypeVar("AnyAnswer")

CONNECT_SECONDS = 5
ANSWER_SECONDS = 10.0
"""Longest time until the server confirms what it was sent."""
DUPLICATES_SECONDS = 3600.0
"""How long the server remembers identities of messages, in a stream that we make."""


def _server(value: object) -> str:
    text = text_of(value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/"):
        raise mistake("is not nats://HOST[:PORT] or tls://HOST[:PORT]")
    if parts.username or parts.password:
        raise mistake("holds a secret; use user and password_file, token_file, nkey_file or credentials_file")
    return text


def _some(servers: tuple[str, ...]) -> tuple[str, ...]:
    if not servers:
        raise mistake("names no server")
    return servers


def _credentials(value: object, info: ValidationInfo) -> SecretStr:
    secret = secret_in(value, info)
    if not all(part in secret.get_secret_value() for part in ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")):
        raise mistake(f"{path_of(value, info)}: holds no NATS credentials (a user's JWT and seed)")
    return secret


class ServerTable(Table):
    """Which server, and what it asks for."""

    servers: Annotated[tuple[Annotated[str, BeforeValidator(_server)], ...], AfterValidator(_some)]
    """One, or those of a cluster: ``nats://HOST:PORT``, or ``tls://HOST:PORT``."""
    credentials_file: Annotated[SecretStr, BeforeValidator(_credentials)] | None = None
    """A user's JWT and seed, as ``nsc`` writes it (``.creds``)."""
    nkey_file: SecretFile | None = None
    """A user's seed."""
    token_file: SecretFile | None = None
    user: Annotated[str, Field(strict=True, min_length=1)] | None = None
    password_file: SecretFile | None = None
    ca_file: CertificatesFile | None = None
    """Certificates (PEM) trusted instead of the system's."""
    certificate: PemField | None = None
    """PEM, with the chain, that is shown to the server."""
    key: PemField | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise mistake("user and password_file go together")
        if self.key is not None and self.certificate is None:
            raise mistake("key goes with a certificate")
        ways = ("credentials_file", "nkey_file", "token_file", "user")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) > 1:
            raise mistake(f"has both {given[0]} and {given[1]}")
        self.tls()
        return self

    def tls(self) -> ssl.SSLContext | None:
        """Return what encrypts; None where the address alone decides, and the system's certificates are trusted.

        Returns
        -------
        ssl.SSLContext or None
            For the connection.
        """
        if self.ca_file is None and self.certificate is None:
            return None
        context = ssl.create_default_context() if self.ca_file is None else trusting(self.ca_file)
        if self.certificate is not None:
            load_chain(context, self.certificate, self.key)
        return context

    @property
    def place(self) -> str:
        """The servers, as messages name them."""
        return ", ".join(self.servers)


def require_nats() -> None:
    """Import what speaks to NATS.

    Raises
    ------
    RequestError
        Where it is not installed.
    """
    try:
        import nats  # noqa: F401
        import nkeys  # noqa: F401
    except ImportError as error:
        raise RequestError(f"NATS: {error}; pip install 'rtpverify[nats]'") from error


class LostError(Exception):
    """The connection, or an answer that it was to bring, is lost."""


class NatsConnection:
    """A connection to the server, as long as there is one.

    Parameters
    ----------
    client
        Which is connected.
    said
        What was amiss, the latest last; it grows.
    closed
        Set when the connection ends.

    Attributes
    ----------
    client, jetstream
        Of ``nats``.
    """

    def __init__(self, client: Client, said: list[str], closed: asyncio.Event) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=ANSWER_SECONDS)
        self._said = said
        self._closed = closed

    def require(self) -> None:
        """Raise LostError where there is none any more."""
        if self._closed.is_set() or self.client.is_closed:
            raise LostError(self.reason or "connection lost")

    @property
    def reason(self) -> str:
        """What the server, or the system, said last that was amiss; empty where nothing was."""
        return self._said[-1] if self._said else ""

    async def answer(self, asked: Awaitable[AnyAnswer]) -> AnyAnswer:
        """Return an answer; LostError where the connection ends before, or the server says nothing.

        Parameters
        ----------
        asked
            What the server was asked.

        Returns
        -------
        AnyAnswer
            What it answers.
        """
        task, closed = asyncio.ensure_future(asked), asyncio.ensure_future(self._closed.wait())
        try:
            done, _ = await asyncio.wait({task, closed}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if task not in done:
                self.require()
                raise LostError(self.reason or f"no answer within {ANSWER_SECONDS:g} s")
            return await task
        finally:
            for one in (task, closed):
                one.cancel()
            await asyncio.gather(task, closed, return_exceptions=True)

    async def publish(self, messages: Sequence[tuple[str, bytes, dict[str, str]]], stream: str) -> list[str | None]:
        """Publish messages to a stream of JetStream, in order; return what is the matter with each, None: it has it.

        Parameters
        ----------
        messages
            Of each: subject, content and headers.
        stream
            The stream's name.

        Returns
        -------
        list[str or None]
            Of each, why the server does not take it.

        Raises
        ------
        LostError
            Where it is not known which of them the server has.
        """
        # Each is written before the first of them waits, so they arrive in order.
        answers = asyncio.gather(
            *(
                self.jetstream.publish(to, content, ANSWER_SECONDS, stream, dict(headers))
                for to, content, headers in messages
            ),
            return_exceptions=True,
        )
        return [_failure(answer) for answer in await self.answer(answers)]

    async def make_streams(self, *, replicas: int, keep_days: float) -> None:
        """Make the streams of JetStream that are not there; those that are stay as they are.

        Parameters
        ----------
        replicas
            Of each, in a cluster.
        keep_days
            How long they keep messages.
        """
        from nats.js.api import DiscardPolicy, StreamConfig
        from nats.js.errors import NotFoundError

        for name, kinds in TAKES.items():
            config = StreamConfig(
                name=name,
                subjects=[subject(kind) for kind in kinds],
                num_replicas=replicas,
                max_age=keep_days * 86_400,
                discard=DiscardPolicy.OLD,
                max_msgs_per_subject=1 if name == STATES else -1,
                duplicate_window=DUPLICATES_SECONDS if name == EVENTS else 0,
            )
            try:
                await self.answer(self.jetstream.stream_info(name))
            except NotFoundError:
                await self.answer(self.jetstream.add_stream(config))


@asynccontextmanager
async def connected(server: ServerTable, name: str) -> AsyncIterator[NatsConnection]:
    """Connect to a server, for as long as the context lasts or the connection does.

    Parameters
    ----------
    server
        Which, and what lets in.
    name
        How the server shows who is connected.

    Raises
    ------
    LostError
        Where it cannot be reached, or lets nobody in.
    """
    from nats.aio.client import Client, RawCredentials
    from nats.errors import Error

    client, reasons, closed = Client(), list[str](), asyncio.Event()

    async def note(error: Exception) -> None:
        reasons.append(said(error))

    async def end() -> None:
        closed.set()

    options: dict[str, Any] = {
        "user": server.user,
        "password": _revealed(server.password_file),
        "token": _revealed(server.token_file),
        "nkeys_seed_str": _revealed(server.nkey_file),
        "user_credentials": server.credentials_file
        and RawCredentials(server.credentials_file.get_secret_value() + "\n"),
        "tls": server.tls(),
    }
    try:
        await client.connect(
            list(server.servers),
            name=name,
            error_cb=note,
            closed_cb=end,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=20,
            **{key: value for key, value in options.items() if value is not None},
        )
    except (OSError, Error, TimeoutError, ValueError) as error:
        await _close(client)
        raise LostError(reasons[-1] if reasons else said(error)) from error
    try:
        yield NatsConnection(client, reasons, closed)
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    with suppress(Exception):  # nothing is lost with it, and nobody can mend it
        await asyncio.wait_for(client.close(), CONNECT_SECONDS)


def _failure(answer: object) -> str | None:
    """Return why the server does not take a message; LostError where nobody knows whether it does."""
    from nats.errors import MaxPayloadError
    from nats.js.errors import APIError, NoStreamResponseError

    if isinstance(answer, APIError | MaxPayloadError | NoStreamResponseError):
        return said(answer)
    if isinstance(answer, Exception):
        raise LostError(said(answer)) from answer
    return None


def said(error: Exception) -> str:
    """Return what an error says, on one line and without the library's name.

    Parameters
    ----------
    error
        Of the library or of the system.

    Returns
    -------
    str
        One line.
    """
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or error.reason or str(error)
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    text = getattr(error, "description", None) or str(error) or type(error).__name__
    return " ".join(text.split()).removeprefix("nats: ")


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
