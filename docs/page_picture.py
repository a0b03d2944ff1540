"""Draw the live page: ``PYTHONPATH=. python docs/page_picture.py docs`` writes live-page.png and live-page-stream.png.

A daemon, a sender with faults and a Chromium run for a quarter of a minute; what is seen then is written.
"""

import asyncio
import socket
import sys
import tempfile
from pathlib import Path

from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.daemon.web.chromium import Browser, browsing, running

FAULTS = {
    "ob-van-1": ["slip:at=11,frames=48", "slip:at=17,frames=96"],
    "ob-van-2": ["loss:at=4,packets=3"],
    "playout": [],
    "studio-1": [],
    "studio-2": ["noise:at=9,dbfs=-70,channel=2"],
    "talkback": [],
}
WAITING = "foh"


def free_port(kind: socket.SocketKind) -> int:
    """Return a port that nobody has now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def draw(browser: Browser, folder: Path) -> None:
    """Write both pictures."""
    await browser.size(1280, 640)
    await browser.until("document.querySelector('tr[data-health=fault] a')?.textContent === 'ob-van-1'")
    await browser.until("document.querySelectorAll('tr[data-health=fault]').length === 2")
    await browser.picture(folder / "live-page.png")
    await browser.see("document.querySelector('tr[data-health=fault] a').click()")
    await browser.size(1280, 1500)
    button = "[...document.querySelectorAll('button')].find((one) => one.textContent === 'Last fault')"
    await browser.until(f"!{button}.disabled")
    await browser.see(f"{button}.click()")
    await browser.until("[...document.querySelectorAll('.evidence a')].length > 0")
    await browser.until("document.querySelector('.about').textContent.startsWith('Frozen')")
    await browser.picture(folder / "live-page-stream.png")


async def main() -> None:
    """Run everything and draw."""
    out = Path(sys.argv[1])
    web, ports = free_port(socket.SOCK_STREAM), {name: free_port(socket.SOCK_DGRAM) for name in (*FAULTS, WAITING)}
    text = f'[metrics]\nlisten = "127.0.0.1:{web}"\n[recorder]\npath = "evidence"\n'
    for name, port in ports.items():
        text += f'[[stream]]\nname = "{name}"\nsource = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\n'
        text += f'reference = "{"none" if name == "talkback" else "tone:1283"}"\nlimits.max_stall_seconds = 1\n'
    settings = [
        StreamSettings(Endpoint("127.0.0.1", ports[name]), faults=[parse_fault(fault) for fault in faults])
        for name, faults in FAULTS.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench.toml").write_text(text)
        command = [sys.executable, "-m", "rtpverify", "serve", str(Path(folder) / "bench.toml")]
        daemon = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            if daemon.stderr is not None:
                await daemon.stderr.readline()  # it is up
            with running() as chromium:
                async with browsing(chromium) as browser:
                    await browser.open(f"http://127.0.0.1:{web}/")
                    with Sender(settings, duration_seconds=60) as sender:
                        sender.start()
                        await draw(browser, out)
        finally:
            daemon.terminate()
            await daemon.communicate()


if __name__ == "__main__":
    asyncio.run(main())
