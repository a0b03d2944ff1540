"""On a Dask cluster of two worker processes: everything, also where one of them is killed."""

import os
import signal
from pathlib import Path

import pytest

from rtpverify.commands.batch import workers
from rtpverify.commands.batch.members import find_members
from rtpverify.errors import RequestError
from rtpverify.version import __version__
from tests.helpers.archive import job, write_archive

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as made:
        yield made


def test_one_killed_midway(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_GROUP_MEMBERS", 1)
    expected = write_archive(tmp_path, clean=12)
    found = {}
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
        for rows in workers.on_cluster(job(), find_members([str(tmp_path)]), cluster.scheduler_address):
            if not found:
                os.kill(pids[0], signal.SIGKILL)
            for row in rows:
                name = str(Path(row["member"]).relative_to(tmp_path))
                assert name not in found
                found[name] = row["status"]
    assert found == expected


def test_workers_with_another_version(cluster, monkeypatch):
    monkeypatch.setattr(workers, "__version__", "9.9.9")
    with pytest.raises(RequestError, match=f"has rtpverify {__version__}, this is 9.9.9"):
        list(workers.on_cluster(job(), [], cluster.scheduler_address))
