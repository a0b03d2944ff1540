"""A real Chromium, driven by its own protocol (CDP): what it shows, requests and complains about."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.helpers.patience import PATIENCE_SECONDS

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)


class Browser:
    """One page.

    Attributes
    ----------
    requests
        Addresses that the page asked for.
    complaints
        What stands in the console: errors, warnings and exceptions.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                future = self._waiting.pop(document["id"])
                if not future.done():
                    future.set_result(document)
            else:
                self._note(document["method"], document["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(item.get("value", item)) for item in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(future, 2 * PATIENCE_SECONDS)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=url)

    async def see(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page, which itself looks again and again."""
        wait = f"""new Promise((done) => {{
            const end = performance.now() + {1000 * PATIENCE_SECONDS};
            const look = () => {{
                let value = null;
                try {{ value = {expression}; }} catch {{ /* not there yet */ }}
                if (value) done(true);
                else if (performance.now() > end) done(false);
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        seen = await self.see(wait)
        if not seen:
            text = await self.see("document.body.innerText")
            raise AssertionError(
                f"{expression}: not seen within {PATIENCE_SECONDS:g} s; the page says:\n{text}\n{self.complaints}"
            )

    async def press(self, key: str, code: int = 0, modifiers: int = 0) -> None:
        """Press a key."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers, **text
            )

    async def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Give the page a size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    async def prefer(self, **features: str) -> None:
        """Have the reader prefer something, such as ``color_scheme="dark"``."""
        wanted = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=wanted)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """Stop listening."""
        self._reader.cancel()


@contextmanager
def running() -> Iterator[int]:
    """Run a Chromium with a profile of its own; yield the port of its protocol."""
    if CHROMIUM is None:
        raise FileNotFoundError("chromium")
    with tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, f"--user-data-dir={profile}", *FLAGS]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield _port(Path(profile) / "DevToolsActivePort")
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


@asynccontextmanager
async def browsing(port: int) -> AsyncIterator[Browser]:
    """Open a page in the Chromium whose protocol is at a port."""
    tools = f"http://127.0.0.1:{port}/json"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{tools}/new?about:blank") as answer:
            target = await answer.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 28) as socket:
            browser = Browser(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await browser.call(f"{domain}.enable")
            await browser.call("Page.bringToFront")
            yield browser
            browser.close()
        async with session.get(f"{tools}/close/{target['id']}"):
            pass


def _port(path: Path) -> int:
    """Wait until the browser says where it listens."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        with suppress(FileNotFoundError, ValueError, IndexError):
            return int(path.read_text().splitlines()[0])
        time.sleep(0.05)
    raise TimeoutError("chromium does not start")
