"""The report as a reader sees it: in a real Chromium, wide and narrow, dark, zoomed and on paper."""

import pytest

from rtpverify.commands.check import check
from rtpverify.report import html
from rtpverify.sources.audio.reference_text import parse_reference
from tests.commands.test_event_clips import L24, capture
from tests.daemon.web.chromium import CHROMIUM, browsing, running

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not there")

INK = """[...document.querySelectorAll("details[open] canvas")].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let ink = 0;
  for (let at = 3; at < data.length; at += 4) ink += data[at] > 0;
  return ink / (canvas.width * canvas.height);
})"""
"""How much of each canvas that is seen is painted."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    faults = ["loss:at=1.5,packets=3", "slip:at=2.5,frames=48", "gain:at=3.5,db=-0.5,duration=0.5"]
    reference = parse_reference("tone:1283")
    result = check(str(capture(folder, faults)), reference=reference, encoding=L24, with_clips=True)
    (folder / "report.html").write_text(html.render(result))
    return (folder / "report.html").as_uri()


async def test_what_is_seen(page):
    with running() as port:
        async with browsing(port) as browser:
            await browser.size(1200, 900)
            await browser.open(page)
            await browser.until("document.querySelectorAll('[data-drawn]').length === 1")
            assert min(await browser.see(INK)) > 0.02
            assert await browser.see("document.querySelector('.verdict').getBoundingClientRect().top < 200")
            assert await browser.see("document.querySelector('.first').getBoundingClientRect().bottom < 400")

            # Zoomed, what is seen differs, and "all" shows everything.
            look = "document.querySelector('canvas.wave').toDataURL().length"
            near = await browser.see(look)
            await browser.see("document.querySelector('[data-zoom=all]').click()")
            assert await browser.see(look) != near

            # The mark of another event on the timeline opens its picture.
            await browser.see("location.hash = document.querySelectorAll('svg a')[1].getAttribute('href')")
            await browser.until("document.querySelectorAll('[data-drawn]').length === 2")
            assert min(await browser.see(INK)) > 0.02

            for width, scheme in ((360, "light"), (360, "dark"), (900, "dark")):
                await browser.prefer(color_scheme=scheme)
                await browser.size(width, 800)
                await browser.until(f"document.documentElement.clientWidth === {width}")
                assert await browser.see("document.documentElement.scrollWidth") <= width
                end = "document.querySelectorAll('.timeline rect')[2].getBoundingClientRect()"
                assert width / 2 < await browser.see(f"{end}.left") < await browser.see(f"{end}.right") < width
            assert (await browser.see("getComputedStyle(document.body).backgroundColor")) == "rgb(20, 23, 28)"

            paper = await browser.call("Page.printToPDF")
            assert len(paper["data"]) > 10_000
            assert browser.requests == [page]
            own = "willReadFrequently"  # of what this test reads back
            assert [line for line in browser.complaints if own not in line] == []
