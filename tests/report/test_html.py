import re
from html.parser import HTMLParser

from rtpverify.report import html
from rtpverify.result import Sensitivity

_VOID = {"meta", "br"}


class _Balance(HTMLParser):
    """Holds that every element is closed in order."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.tags = []

    def handle_starttag(self, tag, _attrs):
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, _attrs):
        self.tags.append(tag)


def _tags(page):
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    return parser.tags


def test_page_is_well_formed_and_loads_nothing(passed, failed, nothing, many):
    for result in (passed, failed, nothing, many):
        page = html.render(result)
        tags = _tags(page)
        assert not {"script", "link", "img", "iframe"} & set(tags)
        assert not re.search(r"https?://|url\(|@import|\bsrc=|\bhref=", page)


def test_has_both_themes(passed):
    assert "prefers-color-scheme: dark" in html.render(passed)


def test_shows_verdict_figures_and_events(failed):
    page = html.render(failed)
    assert '<span class="verdict fail">Fail</span>\n<h1>4 faults in 1 of 2 streams' in page
    assert "1283.00000" in page
    assert "the content jumped ahead by 48 frames" in page
    assert "; arrived 2026-09-21T14:13:21.000000Z</span>" in page
    assert page.index("0x5eed0001") < page.index("0x007c3d72")


def test_text_from_outside_is_escaped(failed):
    failed.source = "<script>alert(1)</script>.pcap"
    page = html.render(failed)
    assert "script" not in _tags(page)
    assert "one frame &lt;off&gt; &amp; wrong" in page


def test_timeline_draws_every_kind(failed, passed):
    page = html.render(failed)
    for kind in ("gap (1)", "slip (1)", "click (1)", "stall (1)", "word_length (1)"):
        assert f">{kind}</div>" in page
    assert page.count("<rect") == 5
    assert "<svg" not in html.render(passed)


def test_timeline_merges_what_falls_on_one_spot(many):
    for event in many.streams[0].events[:200]:
        event.start_frame = 1000
    page = html.render(many)
    assert page.count("<rect") == 2
    assert "(and 199 more here)" in page


def test_long_lists_are_cut_and_counted(many, monkeypatch):
    monkeypatch.setattr(html, "EVENTS_SHOWN", 50)
    page = html.render(many)
    assert page.count('<td class="text">') == 50
    assert "and 151 more: 151 gap" in page


def test_unknown_sample_rate_counts_frames(failed):
    failed.streams[1].sample_rate = None
    assert re.search(r">20000</text>", html.render(failed))


def test_says_what_was_asked_and_what_would_have_shown(failed, asked):
    failed.request = asked
    page = html.render(failed)
    for label, text in (
        ("Reference", "tone:997"),
        ("Encoding", "L16/48000/2, for payload types that nothing else describes"),
        ("Limits", "profile digital, max thd n db -60, max gain db not checked, word length is fault no"),
        ("Command", "rtpverify check both.pcap --max-thd-n-db -60 --html &#x27;a b.html&#x27;"),
        ("Made", "2026-09-21T14:13:20.000000Z by rtpverify 1.2.3 on bench-7"),
    ):
        assert f"<dt>{label}</dt><dd>{text}</dd>" in page
    assert "Detection limits" not in page
    failed.streams[0].signal[0].sensitivity = Sensitivity(1e-6, 0.01, 1e-4, True)
    assert "<dt>Detection limits</dt><dd>click of 1.0e-06 FS" in html.render(failed)
    _tags(page)
