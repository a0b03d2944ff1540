"""A real nats-server with JetStream on loopback, that tests start, kill and start again."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.patience import PATIENCE_SECONDS, until


def free_tcp_port() -> int:
    """Return a TCP port of loopback that nobody uses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


class NatsServer:
    """A server and what it keeps; ``more`` is part of its configuration."""

    def __init__(self, folder: Path, more: str = "", scheme: str = "nats") -> None:
        if shutil.which("nats-server") is None:
            pytest.skip("nats-server is not there")
        pytest.importorskip("nats")
        self.port = free_tcp_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.folder = folder
        self._configuration = folder / "nats.conf"
        folder.mkdir(exist_ok=True)
        self._configuration.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{folder}/jetstream" }}\n{more}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(["nats-server", "-c", self._configuration], stderr=log)
        await until(self._answers, self.log)

    def kill(self) -> None:
        """Kill it, as a host that fails would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def log(self) -> str:
        return (self.folder / "nats.log").read_text()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    @asynccontextmanager
    async def running(self, *, at_once: bool = True) -> AsyncIterator[NatsServer]:
        """Run it until the end of the context, from the beginning or from ``start``."""
        try:
            if at_once:
                await self.start()
            yield self
        finally:
            if self._process is not None:
                self.kill()

    async def messages(self, stream: str, **options: Any) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
        """Return all that a stream holds, in order: subjects, contents and headers; nothing where there is none."""
        import nats
        from nats.js.errors import NotFoundError

        client = await nats.connect(self.url, **options)
        try:
            jetstream = client.jetstream(timeout=PATIENCE_SECONDS)
            try:
                state = (await jetstream.stream_info(stream)).state
            except NotFoundError:
                return []
            found = []
            for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
                try:
                    message = await jetstream.get_msg(stream, sequence)
                except NotFoundError:  # another of its subject took its place
                    continue
                found.append((message.subject, json.loads(message.data), message.headers or {}))
            return found
        finally:
            await client.close()


async def settled(server: NatsServer, stream: str, holds: Any) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Return what a stream holds as soon as something holds of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(found := await server.messages(stream)):
            await asyncio.sleep(0.05)
    return found
