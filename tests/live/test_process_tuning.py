"""What the C library does with memory that was freed."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from rtpverify.live.process_tuning import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    parts = [np.ones(1 << 16) for _ in range(4)]
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    fetched = {
        way: int(subprocess.run([sys.executable, "-c", SCRIPT, way], capture_output=True, check=True).stdout)
        for way in ("kept", "as it is")
    }
    assert fetched["kept"] < fetched["as it is"] / 5
