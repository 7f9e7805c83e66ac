"""``tmemstore convert``: what it prints, what it leaves behind, what it refuses."""

import json
import os

import numpy as np
import pytest

from support import files_of_at_most
from tmemstore.cli.main import main
from tmemstore.trace.events import Op
from tmemstore.trace.format import open_trace

SPC = "0,0,4096,R,0.5\n0,8,4096,W,0.6\n0,0,4096,R,0.7\n"
TRACEFS = "x-1 [0] 1.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1 pfn=1 ofs=0 order=1\nCPU:1 [LOST 3 EVENTS]\n"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.spc").write_text(SPC, encoding="utf-8")
    (tmp_path / "in.txt").write_text(TRACEFS, encoding="utf-8")


def events(path="out"):
    with open_trace(path) as trace:
        return trace.header.origin, np.concatenate(list(trace.blocks()))


def test_the_document(tmp_path, capsys):
    assert main(["convert", "in.spc", "out", "--page-cache", "4KiB", "--format", "json"]) == 0
    said, remarks = capsys.readouterr()
    document = json.loads(said)
    assert document["schema"] == "tmemstore.convert/1"
    assert document["operations"] == {"put_page": 2, "get_page": 2, "invalidate_page": 1}
    assert (document["requests"], document["pages_requested"], document["pages_written_back"]) == (3, 3, 1)
    assert (document["events"], document["duration_ns"]) == (5, 200_000_000)
    assert document["output_bytes"] == (tmp_path / "out").stat().st_size
    assert remarks == "wrote out (0 KiB)\n"
    origin, records = events()
    assert origin == document["origin"]
    assert (origin["kind"], origin["name"], origin["page_cache"], origin["fill"]) == ("spc", "in.spc", "4KiB", False)
    assert records["op"].tolist() == [Op.GET_PAGE, Op.PUT_PAGE, Op.INVALIDATE_PAGE, Op.PUT_PAGE, Op.GET_PAGE]


def test_none_asks_the_replay_to_put_what_was_missed(capsys):
    assert main(["convert", "in.spc", "out", "--page-cache", "none", "--quiet"]) == 0
    said, remarks = capsys.readouterr()
    assert remarks == ""
    assert "through a page cache of none" in said
    origin, records = events()
    assert (origin["fill"], origin["page_cache"]) == (True, "none")
    assert records["op"].tolist() == [Op.GET_PAGE] * 3


def test_what_was_passed_over_is_said(capsys):
    assert main(["convert", "in.txt", "out"]) == 0
    said, remarks = capsys.readouterr()
    assert max(map(len, said.splitlines())) <= 80
    assert "  get_page                       2" in said
    assert "passed over: 1 gaps, where the kernel lost events" in remarks


def test_a_trace_converts_to_itself(tmp_path):
    main(["convert", "in.spc", "out", "--page-cache", "4KiB", "-q"])
    assert main(["convert", "out", "again", "-q"]) == 0
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()


def test_what_is_there_stays_unless_it_is_forced(tmp_path, capsys):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    assert main(["convert", "in.txt", "out"]) == 2
    assert capsys.readouterr().err == (
        "tmemstore convert: OUT out is there already; name another file, or replace it with --force\n"
    )
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"
    (tmp_path / "bad.spc").write_text(SPC + "0,0,4096,R,0.1\n", encoding="utf-8")
    assert main(["convert", "bad.spc", "out", "--page-cache", "4KiB", "--force"]) == 2
    assert "bad.spc: line 4, byte 45: the time runs backwards" in capsys.readouterr().err
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine", "a failure leaves the old file"
    assert main(["convert", "in.txt", "out", "--force"]) == 0
    assert len(events()[1]) == 2


def test_names_of_any_bytes_are_taken(tmp_path, capsys):
    strange = os.fsdecode(b"new\nline \xff.spc")
    (tmp_path / strange).write_text(SPC, encoding="utf-8")
    assert main(["convert", strange, "out", "--page-cache", "none", "-q"]) == 0
    assert capsys.readouterr().out.startswith("new?line ?.spc: spc\n")
    assert events()[0]["name"] == strange
    (tmp_path / strange).write_text("?", encoding="utf-8")
    assert main(["convert", strange, "out", "--force"]) == 2
    assert capsys.readouterr().err.startswith(r"tmemstore convert: 'new\nline \udcff.spc': byte 0: is no trace")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["in.spc", "out"], "in.spc: (spc) holds requests, and a tmem store sees only what a page cache evicts; give"),
        (["in.txt", "out", "--page-cache", "1MiB"], "holds events of a page cache already; leave --page-cache out"),
        (["in.txt", "out", "--delimiter", ","], "--delimiter and --from csv need --columns"),
        (["in.txt", "out", "--from", "csv"], "--delimiter and --from csv need --columns"),
        (["in.txt", "out", "--from", "msr", "--columns", "object=1"], "--columns is for csv and text, not for msr"),
        (["in.txt", "."], "OUT . is a folder; name a file"),
        (["in.txt", "no/where"], "OUT no/where cannot be written to (No such file or directory)"),
        (["missing", "out"], "missing: cannot be read (No such file or directory)"),
        ([".", "out"], ".: cannot be read (Is a directory)"),
        (["in.txt", "out", "--from", "msr", "--page-cache", "none"], "in.txt: line 1, byte 0: the line has 1 where 7"),
        (["in.txt", "out", "--from", "own"], "in.txt: byte 0: is no trace of tmemstore"),
    ],
)
def test_refusals_leave_nothing(tmp_path, capsys, arguments, what):
    assert main(["convert", *arguments]) == 2
    said, remarks = capsys.readouterr()
    assert said == ""
    assert remarks.startswith("tmemstore convert: ")
    assert what in remarks
    assert remarks.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.spc", "in.txt"]


def test_a_disk_without_room_is_what_the_environment_lacks(tmp_path, capsys):
    with files_of_at_most(100):
        assert main(["convert", "in.spc", "out", "--page-cache", "4KiB"]) == 3
    assert capsys.readouterr().err == (
        "tmemstore convert: OUT out cannot be written to (File too large); make room, or name another place\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.spc", "in.txt"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--from", "lirs"], "'lirs' is none of own, oracleGeneral"),
        (["--columns", "time=1"], "names neither object nor index"),
        (["--delimiter", "ab"], "'ab' is no delimiter"),
        (["--page-cache", "64MB"], "MB may mean two things"),
        (["--page-cache", "0"], "a page cache must be positive"),
        (["--page-cache", "5000"], "multiple of the page size"),
    ],
)
def test_wrong_options(capsys, arguments, what):
    with pytest.raises(SystemExit) as exited:
        main(["convert", "in.spc", "out", *arguments])
    assert exited.value.code == 2
    assert what in capsys.readouterr().err
