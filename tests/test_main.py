"""What is done before the command line."""

import pytest

import rtpverify.__main__
import rtpverify.cli.app


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("4", "4")])
def test_products_of_matrices_take_one_thread_unless_told_otherwise(before, after, monkeypatch):
    seen = {}

    def run(arguments):
        seen.update(arguments=arguments, threads=rtpverify.__main__.os.environ.get("OPENBLAS_NUM_THREADS"))
        return 3

    monkeypatch.setattr(rtpverify.cli.app.main, "run", run)
    monkeypatch.setattr(rtpverify.__main__, "open_standard_streams", lambda: None)
    monkeypatch.setattr(rtpverify.__main__, "end_at_termination", lambda: None)
    monkeypatch.setattr(rtpverify.__main__.sys, "argv", ["rtpverify", "check", "this.wav"])
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)
    with pytest.raises(SystemExit) as ended:
        rtpverify.__main__.main()
    assert ended.value.code == 3
    assert seen == {"arguments": ["check", "this.wav"], "threads": after}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "restored afterwards")
