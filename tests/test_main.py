"""What stands before the command line."""

import pytest

import rtpverify.__main__
import rtpverify.cli


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("4", "4")])
def test_products_of_matrices_take_one_thread_unless_told_otherwise(before, after, monkeypatch):
    seen = {}
    monkeypatch.setattr(rtpverify.cli, "main", lambda **options: seen.update(options, threads=threads()))

    def threads():
        return rtpverify.__main__.os.environ.get("OPENBLAS_NUM_THREADS")

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)
    rtpverify.__main__.main()
    assert seen == {"prog_name": "rtpverify", "threads": after}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "restored afterwards")
