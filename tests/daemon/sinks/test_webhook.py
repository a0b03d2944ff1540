from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rtpverify.daemon.configuration import parse_config
from rtpverify.daemon.sinks import webhook
from rtpverify.daemon.sinks.webhook import Webhook, WebhookTable, key_of, sign
from rtpverify.errors import ConfigurationError
from rtpverify.events import SlipSize
from tests.helpers.documents import Telling
from tests.helpers.patience import until
from tests.helpers.sinks import started

pytestmark = pytest.mark.usefixtures("impatient")

Opening = Callable[..., AbstractAsyncContextManager[Webhook]]


class Endpoint:
    """A real HTTP server that takes webhooks, or answers as ``answers`` says, one after another."""

    def __init__(self) -> None:
        self.answers: list[web.Response | float] = []
        """A response, or seconds that it takes."""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.times: list[float] = []
        self.connections: set[Any] = set()
        self.port = 0

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, reuse_address=True).start()
            self.port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.times.append(time.monotonic())
        self.connections.add(request.transport)
        self.requests.append((dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        return answer

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    @property
    def frames(self) -> list[int]:
        return [event["start_frame"] for body in self.bodies for event in body["events"]]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    async with endpoint.serving():
        yield endpoint


@pytest.fixture
def opened(bench: Telling) -> Opening:
    def opened(port: int, scheme: str = "http", **options: object) -> AbstractAsyncContextManager[Webhook]:
        url = f"{scheme}://127.0.0.1:{port}/hook?key=hush"
        return started(Webhook(WebhookTable.model_validate({"url": url, **options}), bench))  # type: ignore[arg-type]

    return opened


async def test_events_are_posted_as_they_are_told(opened: Opening, bench: Telling, endpoint: Endpoint) -> None:
    async with opened(endpoint.port) as sink:
        told = [bench.told(1), bench.told(2, channel=1, open=True, message="too loud")]
        sink.tell([*told, bench.told(3, fault=False)])
        await until(lambda: sink.counts["written"] == 2)
    ((headers, _),) = endpoint.requests
    (body,) = endpoint.bodies
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("rtpverify/")
    assert "Authorization" not in headers
    assert (body["schema"], body["dropped"]) == ("rtpverify.webhook/1", 0)
    assert body["events"] == [item.document for item in told]
    assert body["text"].splitlines()[1] == "left, channel 1: gap (network): too loud (ongoing)"


async def test_only_chosen_events_are_posted(opened: Opening, bench: Telling, endpoint: Endpoint) -> None:
    async with opened(endpoint.port, kinds=["slip"]) as sink:
        sink.tell([bench.told(1), bench.told(2, size=SlipSize())])
        await until(lambda: endpoint.frames)
    assert endpoint.frames == [2]


async def test_one_connection_is_used_again_and_again(opened: Opening, bench: Telling, endpoint: Endpoint) -> None:
    async with opened(endpoint.port) as sink:
        for number in range(20):
            sink.tell([bench.told(number)])
            await until(lambda: sink.counts["written"] > number)  # noqa: B023
    assert endpoint.frames == list(range(20))
    assert len(endpoint.connections) == 1


async def test_a_connection_that_was_closed_meanwhile_is_no_failure(opened: Opening, bench: Telling) -> None:
    endpoint = Endpoint()
    async with endpoint.serving(), opened(endpoint.port) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        for transport in endpoint.connections:
            transport.close()
        await asyncio.sleep(0.05)
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 2)
        assert sink.counts["failed"] == 0
    assert endpoint.frames == [1, 2]


async def test_what_is_told_while_a_request_is_under_way_goes_with_the_next(
    opened: Opening, bench: Telling, endpoint: Endpoint
) -> None:
    endpoint.answers = [0.2]
    async with opened(endpoint.port) as sink:
        sink.tell([bench.told(0)])
        await until(lambda: endpoint.requests)
        for number in range(1, 251):
            sink.tell([bench.told(number)])
        await until(lambda: sink.waiting == 0)
    assert endpoint.frames == list(range(251))
    assert [len(body["events"]) for body in endpoint.bodies] == [1, 100, 100, 50]


def signature_of(headers: dict[str, str], body: bytes, key: bytes) -> str:
    """Write what the specification says, without our code."""
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


async def test_a_request_that_is_tried_again_is_the_same_message(
    opened: Opening, bench: Telling, endpoint: Endpoint
) -> None:
    endpoint.answers = [web.Response(status=503), web.Response(status=302, headers={"Location": "/elsewhere"})]
    key = b"0123456789abcdef01234567"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    async with opened(endpoint.port, token="open sesame", secret=secret) as sink:  # noqa: S106
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 2)
    assert endpoint.frames == [1, 1, 1, 2]
    identities = [headers["webhook-id"] for headers, _ in endpoint.requests]
    assert identities[0] == identities[1] == identities[2] != identities[3]
    for headers, body in endpoint.requests:
        assert headers["webhook-signature"] == signature_of(headers, body, key)
        assert headers["Authorization"] == "Bearer open sesame"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert sink.counts == {"written": 2, "dropped": 0, "failed": 2, "expired": 0, "refused": 0}
    lines = [(line["event"], line.get("reason")) for line in bench.logged]
    assert lines == [
        ("webhook not taken", "answers 503"),
        ("webhook not taken", "answers 302"),
        ("webhook taken again", None),
    ]
    assert "hush" not in json.dumps(bench.logged)


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of https://github.com/standard-webhooks/standard-webhooks, as its libraries test it.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_endpoint_may_say_when_to_come_again(opened: Opening, bench: Telling, endpoint: Endpoint) -> None:
    endpoint.answers = [web.Response(status=429, headers={"Retry-After": "1"})]
    async with opened(endpoint.port) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
    assert endpoint.times[1] - endpoint.times[0] >= 1


async def test_what_an_endpoint_will_never_take_does_not_hold_up_the_rest(
    opened: Opening, bench: Telling, endpoint: Endpoint
) -> None:
    endpoint.answers = [web.Response(status=413)]
    async with opened(endpoint.port) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["refused"] == 1)
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 1)
    assert endpoint.frames == [1, 2]
    assert [line["status"] for line in bench.logged] == [413]


async def test_a_dead_endpoint_costs_a_bounded_queue(
    opened: Opening, bench: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "CAPACITY", 100)
    endpoint = Endpoint()
    async with endpoint.serving():
        port = endpoint.port
    async with opened(port) as sink:
        for number in range(300):
            sink.tell([bench.told(number)])
        await until(lambda: sink.trouble)
        assert sink.trouble == f"http://127.0.0.1:{port}: Connect call failed ('127.0.0.1', {port})"
        assert (sink.waiting, sink.counts["dropped"]) == (100, 200)
        async with endpoint.serving(port=port):
            await until(lambda: sink.waiting == 0)
    assert endpoint.frames == list(range(100))
    assert endpoint.bodies[-1]["dropped"] == 200


async def test_a_slow_endpoint_is_given_up_and_holds_nobody_up(
    opened: Opening, bench: Telling, endpoint: Endpoint
) -> None:
    endpoint.answers = [5.0]
    async with opened(endpoint.port, timeout_seconds=0.1) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["failed"] == 1)
        assert str(sink.trouble).endswith("no answer within 0.1 s")
        await until(lambda: sink.counts["written"] == 1)
    assert endpoint.frames == [1, 1]


async def test_an_event_that_nobody_took_in_time_is_given_up(
    opened: Opening, bench: Telling, endpoint: Endpoint
) -> None:
    endpoint.answers = [web.Response(status=500) for _ in range(2)]
    async with opened(endpoint.port, retry_seconds=0) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["expired"] == 1)
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["expired"] == 2)
        sink.tell([bench.told(3)])
        await until(lambda: sink.counts["written"] == 1)
    assert endpoint.frames == [1, 2, 3]
    assert [line["event"] for line in bench.logged] == ["webhook not taken", "webhook taken again"]


async def test_what_waits_at_the_end_is_tried_once_more(opened: Opening, bench: Telling, endpoint: Endpoint) -> None:
    async with opened(endpoint.port) as sink:
        sink.tell([bench.told(number) for number in range(150)])
    assert endpoint.frames == list(range(150))


async def test_certificates_are_checked(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    endpoint = Endpoint()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(endpoint.serving(context))
        stranger = await stack.enter_async_context(opened(endpoint.port, "https"))
        friend = await stack.enter_async_context(opened(endpoint.port, "https", ca_file=str(certificate)))
        stranger.tell([bench.told(1)])
        friend.tell([bench.told(2)])
        await until(lambda: friend.counts["written"] == 1)
        await until(lambda: stranger.trouble)
        assert "ertificate" in str(stranger.trouble)
    assert endpoint.frames == [2]


async def test_secrets_come_from_files(opened: Opening, bench: Telling, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    (tmp_path / "secret").write_text("hush\n")
    files = {"token_file": str(tmp_path / "token"), "secret_file": str(tmp_path / "secret")}
    async with opened(endpoint.port, **files) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: endpoint.requests)
    ((headers, body),) = endpoint.requests
    assert headers["Authorization"] == "Bearer open sesame"
    assert headers["webhook-signature"] == signature_of(headers, body, b"hush")


def configured(folder: Path, *lines: str) -> WebhookTable:
    text = "\n".join(["[[webhook]]", 'url = "https://127.0.0.1/"', *lines, "[[stream]]", 'name = "a"'])
    text += '\nsource = "rtp://127.0.0.1:5004"\nreference = "none"\n'
    return parse_config(text, folder / "bench.toml").webhook[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("token_file", None, "No such file or directory"),
        ("token_file", b" \n", "is empty"),
        ("token_file", b"\xff", "is not text"),
        ("secret_file", b"whsec_?", "is not whsec_ and base64"),
        ("ca_file", b"no certificate", "holds no valid certificates"),
        ("ca_file", b"\xff", "holds no valid certificates"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_mistake_of_the_configuration(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        configured(tmp_path, f'{name} = "file"')
    place = tmp_path / "bench.toml"
    assert str(caught.value) == f'{place}:3: webhook[1].{name} = "file": {tmp_path / "file"}: {message}'


def test_another_secret_makes_another_webhook(tmp_path: Path) -> None:
    lines = ('secret_file = "secret"', 'token_file = "token"')
    for name in ("secret", "token"):
        (tmp_path / name).write_text("hush")
    before = configured(tmp_path, *lines)
    assert configured(tmp_path, *lines) == before
    assert "hush" not in repr(before)
    (tmp_path / "token").write_text("open sesame")
    assert configured(tmp_path, *lines) != before


def test_mistakes_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("b")
    text = """
[[webhook]]
url = "ftp://127.0.0.1/"
kinds = ["sneeze"]
[[webhook]]
url = "https://127.0.0.1/"
token = "a"
token_file = "token"
[[webhook]]
url = "https://127.0.0.1/"
secret = "whsec_?"
[[stream]]
name = "a"
source = "rtp://127.0.0.1:5004"
reference = "none"
"""
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, tmp_path / "bench.toml")
    lines = [line.split("bench.toml:")[1] for line in str(caught.value).splitlines()]
    assert lines[0] == '3: webhook[1].url = "ftp://127.0.0.1/": is not http://HOST... or https://HOST...'
    assert lines[1].startswith('4: webhook[1].kinds[1] = "sneeze": should be ')
    assert lines[2:] == [
        "5: webhook[2]: has both token and token_file",
        "9: webhook[3]: secret is not whsec_ and base64",
    ]


async def test_no_count_falls_whatever_becomes_of_an_event(
    opened: Opening, bench: Telling, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallen: list[tuple[str, int, int]] = []

    class Watched(Counter[str]):
        def __setitem__(self, name: str, count: int) -> None:
            if count < self[name]:
                fallen.append((name, self[name], count))
            super().__setitem__(name, count)

    monkeypatch.setattr("rtpverify.daemon.sinks.base.Counter", Watched)
    endpoint.answers = [web.Response(status=413), web.Response(status=500)]
    async with opened(endpoint.port, retry_seconds=0) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["refused"] == 1)
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["expired"] == 1)
        sink.tell([bench.told(3)])
        await until(lambda: sink.counts["written"] == 1)
    assert isinstance(sink.counts, Watched)
    assert fallen == []
