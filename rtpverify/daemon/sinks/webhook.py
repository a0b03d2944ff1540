"""``[[webhook]]``: events to another host, by HTTP POST.

Everything happens in a thread of its own, also the making of JSON and TLS: an endpoint that is slow or dead costs a
bounded queue and nothing else. One request at a time, at once where none is under way; what is reported meanwhile goes
with the next. Requests are signed as Standard Webhooks 1.0 has it (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, model_validator

from rtpverify.daemon.config.base import mistake, path_of, text_of
from rtpverify.daemon.config.files import CertificatesFile, SecretFile, secret_in, trusting
from rtpverify.daemon.sinks.base import ReportedEvent, Sink, SinkContext
from rtpverify.daemon.sinks.event_filter import ChoosingTable
from rtpverify.daemon.sinks.queue import Backlog, LaterError
from rtpverify.events import rfc3339
from rtpverify.report.json import strict
from rtpverify.version import __version__

if TYPE_CHECKING:
    import aiohttp

SCHEMA = "rtpverify.webhook/1"
CAPACITY = 10_000
"""Most events that wait for the endpoint."""
MOST_EVENTS = 100
"""In one request."""
MAX_RETRY_AFTER_SECONDS = 300.0
"""An endpoint that asks for more patience is asked again after this."""
STOP_SECONDS = 2.0
"""Most time for the rest, at the end."""

_REFUSED = (400, 413, 422)
"""Statuses that say that this request will never do."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets of Standard Webhooks begin with


def _url(value: object) -> str:
    text = text_of(value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise mistake("is not http://HOST... or https://HOST...")
    return text


def key_of(secret: str) -> bytes:
    """Return the key of a secret: base64 after ``whsec_``, else the text itself.

    Parameters
    ----------
    secret
        As it is configured.

    Returns
    -------
    bytes
        What messages are signed with.

    Raises
    ------
    ValueError
        Where ``whsec_`` is not followed by base64.
    """
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not {_SECRET_PREFIX} and base64") from error


def _key_in(value: object, info: ValidationInfo) -> SecretStr:
    secret = secret_in(value, info)
    try:
        key_of(secret.get_secret_value())
    except ValueError as error:
        raise mistake(f"{path_of(value, info)}: {error}") from None
    return secret


class WebhookTable(ChoosingTable):
    """``[[webhook]]``."""

    url: Annotated[str, BeforeValidator(_url)]
    token: SecretStr | None = None
    """Sent as ``Authorization: Bearer``."""
    token_file: SecretFile | None = None
    secret: SecretStr | None = None
    """Key of the signature."""
    secret_file: Annotated[SecretStr, BeforeValidator(_key_in)] | None = None
    ca_file: CertificatesFile | None = None
    """Certificates (PEM) trusted instead of the system's."""
    timeout_seconds: Annotated[float, Field(strict=True, gt=0, le=300)] = 10.0
    """Of one request."""
    retry_seconds: Annotated[float, Field(strict=True, ge=0)] = 3600.0
    """How long an event is tried."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for name in ("token", "secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise mistake(f"has both {name} and {name}_file")
        if self.secret is not None:
            try:
                key_of(self.secret.get_secret_value())
            except ValueError as error:
                raise mistake(f"secret {error}") from None
        return self

    @property
    def place(self) -> str:
        """Scheme and host alone: the rest of an address is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


@dataclass(frozen=True, slots=True)
class _Waiting:
    told_at: float
    """On the monotonic clock."""
    document: dict[str, Any]


class Webhook(Sink):
    """Sends events as they begin and as they end, each until it is taken or too old.

    ``counts`` has ``written`` (events the endpoint took), ``dropped`` (found no room), ``expired`` (too old),
    ``refused`` (the endpoint will never take them), ``failed`` (requests).

    Parameters
    ----------
    table
        Its table of the configuration.
    context
        What it may know of the service.
    """

    def __init__(self, table: WebhookTable, context: SinkContext) -> None:
        super().__init__()
        self._table = table
        self._log = context.log
        self._context = context
        token, secret = table.token or table.token_file, table.secret or table.secret_file
        self._token = None if token is None else token.get_secret_value()
        self._key = None if secret is None else key_of(secret.get_secret_value())
        self._tls = None if table.ca_file is None else trusting(table.ca_file)
        self._backlog: Backlog[_Waiting] | None = None
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # of the thread
        self._session: aiohttp.ClientSession | None = None
        self._message_id: tuple[_Waiting, str] | None = None
        self.counts.update({"expired": 0, "refused": 0})
        self._not_taken: Counter[str] = Counter()
        """Of the events that are being sent: those that will not be, by outcome."""

    @property
    def waiting(self) -> int:
        """How many events wait to be sent."""
        return self._backlog.waiting if self._backlog else 0

    async def start(self) -> None:
        """Begin to send."""
        self._runner.get_loop()  # has its descriptors from now on
        self._backlog = Backlog(
            f"webhook {self._table.place}",
            self._send,
            capacity=CAPACITY,
            errors=(LaterError,),
            counts=self.counts,
            on_trouble=self._note,
            on_defect=lambda error: self._context.defects.take("outlet", "webhook", error),
            finish=self._close,
            count=self._count,
            most=MOST_EVENTS,
        )

    async def stop(self) -> None:
        """Send the rest, where that is quick."""
        if self._backlog is not None:
            await asyncio.to_thread(self._backlog.close, STOP_SECONDS)

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Take events.

        Parameters
        ----------
        told
            Events with their streams.
        """
        chosen = self._table.chosen(told)
        if chosen and self._backlog is not None:
            now = time.monotonic()
            self._backlog.put([_Waiting(now, item.document) for item in chosen])

    # In the thread --------------------------------------------------------------------------------------------------

    def _send(self, waiting: Sequence[_Waiting]) -> bool:
        """Send what is not too old."""
        oldest = time.monotonic() - self._table.retry_seconds
        young = [item for item in waiting if item.told_at >= oldest]
        expired = len(waiting) - len(young)
        # An event that was not tried yet is never too old.
        if self._message_id is None and expired:
            young, expired = list(waiting), 0
        if young:
            self._runner.run(self._post(young))
        self._message_id = None
        self._not_taken["expired"] = expired
        return bool(young)

    def _count(self, events: int) -> None:
        """Count what became of events that are done with; no count ever falls."""
        self.counts.update(self._not_taken)
        self.counts["written"] += events - self._not_taken.total()
        self._not_taken.clear()

    async def _post(self, waiting: Sequence[_Waiting]) -> None:
        """Send one request; LaterError where it is to be tried again."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._table.timeout_seconds),
                connector=aiohttp.TCPConnector(ssl=self._tls or True),
                headers={"User-Agent": f"rtpverify/{__version__}"},
                trust_env=True,
            )
        body = self._body(waiting)
        headers = {"Content-Type": "application/json"} | self._authorization(waiting[0], body)
        for _ in range(2):  # let the loop see which connections were closed while it stood still
            await asyncio.sleep(0)
        try:
            async with self._session.post(self._table.url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                after = answer.headers.get("Retry-After", "")
        except TimeoutError:
            raise LaterError(f"no answer within {self._table.timeout_seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise LaterError(_brief(error)) from error
        if status in _REFUSED:
            self._log.error("webhook refused events", to=self._table.place, status=status, events=len(waiting))
            self._not_taken["refused"] = len(waiting)
        elif not 200 <= status < 300:
            raise LaterError(f"answers {status}", _retry_after(after))

    def _close(self) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    def _body(self, waiting: Sequence[_Waiting]) -> bytes:
        documents = [strict(item.document) for item in waiting]
        content = {
            "schema": SCHEMA,
            "sent": rfc3339(time.time_ns()),
            "dropped": self.counts["dropped"],
            "text": "\n".join(sentence(document) for document in documents),
            "events": documents,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()

    def _authorization(self, first: _Waiting, body: bytes) -> dict[str, str]:
        """Return the headers that say who sends; the id of a message is that of its first try."""
        if self._message_id is None or self._message_id[0] is not first:
            self._message_id = first, f"msg_{secrets.token_urlsafe(18)}"
        number, moment = self._message_id[1], int(time.time())
        headers = {"webhook-id": number, "webhook-timestamp": str(moment)}
        if self._key is not None:
            headers["webhook-signature"] = sign(self._key, number, moment, body)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _note(self, trouble: str | None) -> None:
        self.trouble = f"{self._table.place}: {trouble}" if trouble else None
        if trouble:
            self._log.error("webhook not taken", to=self._table.place, reason=trouble)
        else:
            self._log.info("webhook taken again", to=self._table.place)


def sign(key: bytes, message_id: str, timestamp_seconds: int, body: bytes) -> str:
    """Return the signature of a message (Standard Webhooks 1.0, symmetric).

    Parameters
    ----------
    key
        The key.
    message_id
        ``webhook-id`` of the message.
    timestamp_seconds
        ``webhook-timestamp``, in s since the Unix epoch.
    body
        What is sent.

    Returns
    -------
    str
        ``v1,`` and the HMAC-SHA256 in base64.
    """
    signed = f"{message_id}.{timestamp_seconds}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def sentence(document: dict[str, Any]) -> str:
    """Return an event as one line for people.

    Parameters
    ----------
    document
        The event in the published JSON form, with the stream's name.

    Returns
    -------
    str
        Without a newline.
    """
    channel = "" if document["channel"] is None else f", channel {document['channel']}"
    state = " (ongoing)" if document["open"] else ""
    return f"{document['stream']}{channel}: {document['kind']} ({document['cause']}): {document['message']}{state}"


def _brief(error: Exception) -> str:
    """Say what went wrong without the address."""
    system = getattr(error, "os_error", error)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror
    return type(error).__name__.removesuffix("Error")


def _retry_after(text: str) -> float:
    """Return the patience that an endpoint asks for, in seconds; 0 where it asks for none."""
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else 0.0
