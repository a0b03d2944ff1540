"""The command: an archive in, one table, one page and one exit status out; and on again where it was stopped."""

import json

import pytest

from rtpverify.commands.batch import command, workers
from rtpverify.commands.batch.folder import open_folder
from rtpverify.commands.batch.job import Status, verify
from rtpverify.commands.batch.journal import Journal
from rtpverify.commands.batch.members import find_members
from rtpverify.commands.batch.summary import exit_status, lines
from rtpverify.errors import RequestError
from rtpverify.version import __version__
from tests.helpers.archive import job, write_archive, write_tone
from tests.helpers.command import run


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    return folder, write_archive(folder)


def read(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_table_page_and_status(archive, tmp_path):
    folder, expected = archive
    out = tmp_path / "out"
    done = run("batch", str(folder), "--out", str(out), "--reference", "tone:997", "--processes", "1")
    assert done.exit_code == 1, done.stderr
    rows = read(out)
    assert {row["member"]: row["status"] for row in rows} == {str(folder / name): s for name, s in expected.items()}
    assert [row["member"] for row in rows] == sorted(row["member"] for row in rows)
    [muted] = [row for row in rows if row["status"] == Status.FAIL]
    [event] = muted["result"]["streams"][0]["events"]
    assert (event["kind"], event["start_frame"], event["duration_frames"]) == ("dropout", 20000, 480)
    assert muted["result"]["source"] == muted["member"]
    assert muted["result"]["request"]["version"] == __version__
    page = (out / "summary.html").read_text()
    for text in ("muted.wav", "1 dropout", "notes.wav", "tone:997"):
        assert text in page
    assert done.stdout.splitlines()[0] == "6 members: 1 fail, 2 unreadable, 3 pass"


def test_a_run_goes_on_where_it_was_stopped(archive, tmp_path, monkeypatch):
    folder, expected = archive
    out = str(tmp_path / "out")
    whole = workers.in_processes

    def stopped(*arguments):
        yield next(iter(whole(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_GROUP_MEMBERS", 1)
    monkeypatch.setattr(command, "in_processes", stopped)
    with pytest.raises(KeyboardInterrupt):
        command.batch([str(folder)], out, job(), processes=1)
    asked_for = []

    def counted(wanted, members, processes):
        asked_for.extend(members)
        return whole(wanted, members, processes)

    monkeypatch.setattr(command, "in_processes", counted)
    rows = command.batch([str(folder)], out, job(), processes=1)
    assert len(asked_for) == len(expected) - 1
    assert [row["status"] for row in rows] == [expected[name] for name in sorted(expected)]
    asked_for.clear()
    write_tone(folder / "clean/001.wav", 0.3)  # has changed
    command.batch([str(folder)], out, job(), processes=1)
    assert sorted(member.address.removeprefix(f"{folder}/") for member in asked_for) == [
        "clean/001.wav",
        "empty.wav",
        "notes.wav",
    ]


@pytest.mark.parametrize("another", ["tone:1000", "none"])
def test_another_run_is_not_mixed_in(tmp_path, another):
    out = open_folder(str(tmp_path / "out"))
    Journal(out, job())
    with pytest.raises(RequestError, match=f'reference "tone:997", not "{another}"; name another folder'):
        Journal(out, job(another))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RequestError, match=r"holds mine\.txt"):
        Journal(open_folder(str(tmp_path)), job())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_that_matches(tmp_path):
    done = run("batch", str(tmp_path / "*.pcap"), "--out", str(tmp_path / "out"))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (3, "0 members: none found")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([], 3),
        (["pass"], 0),
        (["pass", "inconclusive"], 3),
        (["pass", "inconclusive", "unreadable"], 2),
        (["unreadable", "fail", "inconclusive"], 1),
        (["fail", "defect"], 70),
    ],
)
def test_exit_status(found, status):
    assert exit_status([{"status": Status(name)} for name in found]) == status


def test_an_internal_error_names_the_file_with_its_traceback(archive, tmp_path, monkeypatch):
    folder, _ = archive
    text = "Traceback ...\\nZeroDivisionError: \udcff\n"

    def groups(_job, members, _processes):
        for member in members:
            row = {
                "member": member.address,
                "size_bytes": 1,
                "version": "",
                "attempts": 1,
                "seconds": 0.0,
                "worker": "w",
            }
            yield [row | {"status": Status.DEFECT, "error": "ZeroDivisionError", "traceback": text, "result": None}]

    monkeypatch.setattr(command, "in_processes", groups)
    out = tmp_path / "out"
    rows = command.batch([str(folder)], str(out), job())
    [name] = {row["traceback"] for row in rows}  # the same error of all members
    assert "Traceback ..." in (out / name).read_text()
    assert f"please report it with {name}" in "\n".join(lines(rows))
    assert name in (out / "summary.html").read_text()
    monkeypatch.undo()
    again = command.batch([str(folder)], str(out), job(), processes=1)  # such a folder is that of a run, too
    assert not any(row["status"] is Status.DEFECT for row in again)


def test_a_defect_in_a_check_is_a_row(archive, monkeypatch):
    folder, _ = archive

    def fail(*_arguments, **_options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("rtpverify.commands.check.check", fail)
    [row] = verify(job(), find_members([str(folder)])[:1])
    assert (row["status"], row["error"]) == (Status.DEFECT, "ZeroDivisionError: by zero")
    assert row["traceback"].startswith("Traceback")


def test_parquet(archive, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, expected = archive
    command.batch([str(folder)], str(tmp_path / "out"), job(), processes=1, form="parquet")
    rows = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert {row["member"].removeprefix(f"{folder}/"): row["status"] for row in rows} == expected
    [muted] = [row for row in rows if row["status"] == "fail"]
    [event] = muted["events"]
    assert (event["kind"], event["start_frame"], event["duration_frames"]) == ("dropout", 20000, 480)
    assert muted["signal"][0]["frequency_hz"] == pytest.approx(997.0, abs=1e-3)


def test_a_store_as_source_and_target(archive, monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    s3fs = pytest.importorskip("s3fs")
    folder, expected = archive
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("box")
        store.put(str(folder), "box/archive", recursive=True)
        for _ in range(2):
            rows = command.batch(["s3://box/archive/**/*.wav", "s3://box/archive"], "s3://box/out", job(), processes=1)
            found = {row["member"].removeprefix("s3://box/archive/"): row["status"] for row in rows}
            assert found == expected
        assert len(store.cat("box/out/results.jsonl").splitlines()) == len(expected)
    finally:
        server.stop()
