"""Readers of text, and which kind an input is: small inputs become what they mean, wrong ones are named by place."""

import gzip

import numpy as np
import pytest
import zstandard

from tmemstore import TraceError
from tmemstore.trace.columns import empty
from tmemstore.trace.events import Op
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.readers.base import Clock
from tmemstore.trace.readers.column_map import ColumnMap, parse_delimiter
from tmemstore.trace.readers.opening import Wanted, open_input

FILETIME = 128166372003061629
MSR = (
    f"{FILETIME},usr,0,Read,7014609920,24576,41286\n"
    f"{FILETIME + 10},usr,0,Write,1317441536,8192,1963\n"
    f"{FILETIME + 10},web,1,Read,4095,2,12\n"
)
SPC = "0,20941264,8192,W,0.551706\n0,20939840,8192,r,0.554041\n1,3,512,R,1\n"
TRACEFS = """\
# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
     cat-1234    [001] .....   123.456789: mm_filemap_add_to_page_cache: dev 8:1 ino 1f3 pfn=0x123 ofs=4096 order=0
   kworker/u8:3-77       [000] d..1.   123.456790: sched_wakeup: comm=cat pid=1234
 a b-[c]: x-9    (   9) [002] d..2   123.500000: mm_filemap_add_to_page_cache: dev 8:17 ino ff pfn=0x9 ofs=0 order=2
CPU:2 [LOST 12 EVENTS]
         kswapd0-50      [003] d..1   124.000000: mm_filemap_delete_from_page_cache: dev 8:1 ino 1f3 pfn=0x123 ofs=4096
"""


def put(tmp_path, content, name="input"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, kind=None, columns=None, delimiter=None):
    """The kind, whether it holds requests, and all rows."""
    wanted = Wanted(kind, ColumnMap.parse(columns) if columns else None, delimiter)
    with open_input(path, wanted) as source:
        blocks = list(source.blocks())
        return source, np.concatenate(blocks)


def rows(array, *names):
    return [tuple(int(value) for value in row) for row in array[list(names)].tolist()]


class TestBlockTraces:
    def test_msr(self, tmp_path):
        source, requests = read(put(tmp_path, MSR))
        assert (source.kind, source.requests) == ("msr", True)
        assert rows(requests, "time_ns", "object", "index", "pages", "write") == [
            (0, 0, 7014609920 // 4096, 7, 0),
            (1000, 0, 1317441536 // 4096, 2, 1),
            (1000, (1 << 32) + 1, 0, 2, 0),
        ]

    def test_spc(self, tmp_path):
        source, requests = read(put(tmp_path, SPC))
        assert source.kind == "spc"
        assert rows(requests, "time_ns", "object", "index", "pages", "write") == [
            (0, 0, 20941264 * 512 // 4096, 2, 1),
            (2_335_000, 0, 20939840 * 512 // 4096, 2, 0),
            (448_294_000, 1, 0, 1, 0),
        ]

    @pytest.mark.parametrize(
        ("kind", "line", "what"),
        [
            ("msr", f"{FILETIME + 10},usr,0,Read,0,1", "the line has 6 where 7 fields are wanted"),
            ("msr", f"{FILETIME + 10},usr,0,Flush,0,1,1", "'Flush' is neither a read nor a write"),
            ("msr", f"{FILETIME + 10},usr,0,Read,-1,1,1", "offset '-1' is no whole number"),
            ("msr", f"{FILETIME + 10},usr,0,Read,0,{1 << 63},1", "size 9223372036854775808 is out of range"),
            ("msr", f"{FILETIME + 10},usr,0,Read,{1 << 44},1,1", "lies beyond page 2^32"),
            ("msr", f"{1 << 64},usr,0,Read,0,1,1", "timestamp '18446744073709551616' is beyond 64 bits"),
            ("msr", f"{FILETIME},usr,0,Read,0,1,1", "the time runs backwards; sort the input by time"),
            ("spc", "0,1,512,R,2e3", "time '2e3' is no number such as 12.345"),
            ("spc", "0,1,512,R,99999999999", "time 99999999999 is out of range"),
            ("spc", "0,x,512,R,2", "LBA 'x' is no whole number"),
            ("spc", "0,,512,R,2", "LBA '' is no whole number"),
            ("spc", "0,1_0,512,R,2", "LBA '1_0' is no whole number"),
            ("spc", "0,1,512,R,0.9", "the time runs backwards"),
            ("spc", "garbage", "the line has 1 where at least 5 fields are wanted"),
        ],
    )
    def test_a_wrong_line_is_named(self, tmp_path, kind, line, what):
        good = {"msr": MSR, "spc": SPC}[kind]
        path = put(tmp_path, f"{good}\n{line}\n{good}")
        with pytest.raises(TraceError) as caught:
            read(path, kind)
        assert f"{path}: line 5, byte {len(good) + 1}: " in str(caught.value)
        assert what in str(caught.value)


class TestTracefs:
    def test_adds_are_gets_deletes_are_puts(self, tmp_path):
        source, events = read(put(tmp_path, TRACEFS))
        assert (source.kind, source.requests) == ("tracefs", False)
        assert rows(events, "time_ns", "op", "pool", "object", "index", "size") == [
            (0, Op.GET_PAGE, 0, 0x1F3, 1, 0),
            *((43_211_000, Op.GET_PAGE, 1, 0xFF, index, 0) for index in range(4)),
            (543_211_000, Op.PUT_PAGE, 0, 0x1F3, 1, 0),
        ]
        assert source.skipped == {"comments": 3, "other events": 1, "gaps, where the kernel lost events": 1}

    def test_the_form_with_a_page_address(self, tmp_path):
        line = "x-1 [000] 5.000001: mm_filemap_add_to_page_cache: dev 0:1 ino 0 page=00000000ab pfn=7 ofs=8192\n"
        _, events = read(put(tmp_path, line))
        assert rows(events, "op", "index") == [(Op.GET_PAGE, 2)]

    def test_what_trace_cmd_reports(self, tmp_path):
        text = (
            "version = 7\nCPU 1 is empty\ncpus=2\nCPU:0 [7 EVENTS DROPPED]\n"
            "  cat-12 [000]  5.000001: mm_filemap_delete_from_page_cache: dev 8:1 ino 0x1f pfn=0x7 ofs=8192 order=0\n"
        )
        source, events = read(put(tmp_path, text))
        assert rows(events, "op", "object", "index") == [(Op.PUT_PAGE, 0x1F, 2)]
        assert source.skipped == {"comments": 3, "gaps, where the kernel lost events": 1}

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("no line at all", "'no line at all' is no line of tracefs"),
            ("x-1 [0] 124.000001: mm_filemap_add_to_page_cache: dev 8:1", "lacks dev, ino, pfn or ofs"),
            (
                "x-1 [0] 124.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1ffffffffffffffff pfn=1 ofs=0",
                "object id '1ffffffffffffffff' is beyond 64 bits",
            ),
            ("x-1 [0] 124.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1 pfn=1 ofs=5", "no offset of a page"),
            ("x-1 [0] 124.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1 pfn=1 ofs=0 order=14", "order 14 is out"),
            ("x-1 [0] 123.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1 pfn=1 ofs=0", "runs backwards"),
        ],
    )
    def test_a_wrong_line_is_named(self, tmp_path, line, what):
        with pytest.raises(TraceError, match=rf"line 9, byte {len(TRACEFS)}: .*{what}"):
            read(put(tmp_path, f"{TRACEFS}{line}\n"))

    def test_large_folios_come_in_pieces(self, tmp_path):
        lines = "".join(
            f"x-1 [0] 1.{at:06}: mm_filemap_add_to_page_cache: dev 8:1 ino {at:x} pfn=1 ofs=0 order=9\n"
            for at in range(200)
        )
        with open_input(put(tmp_path, lines)) as source:
            lengths = [len(block) for block in source.blocks()]
        assert sum(lengths) == 200 * 512
        assert max(lengths) == 64 * 512


class TestColumns:
    def test_requests_with_a_header_and_a_unit(self, tmp_path):
        text = "ts,size,obj,op\r\n10.5,4097,7,read\r\n11,1,18446744073709551615,W\r\n"
        source, requests = read(put(tmp_path, text), columns="time=1:ms,object=3,size=2,op=4")
        assert source.origin()["columns"] == "time=1:ms,object=3,op=4,size=2".replace("op=4,size=2", "size=2,op=4")
        assert source.origin()["delimiter"] == ","
        assert rows(requests, "time_ns", "object", "pages", "write") == [
            (0, 7, 2, 0),
            (500_000, 18446744073709551615, 1, 1),
        ]

    def test_events_by_name(self, tmp_path):
        text = "1;put_page;3;9;2\n1;store;0;5;1\n2;ALLOC;65536;1;0\n"
        source, events = read(put(tmp_path, text), columns="time=1,op=2,object=3,index=4,pool=5")
        assert not source.requests
        assert rows(events, "time_ns", "op", "object", "index", "pool") == [
            (0, Op.PUT_PAGE, 3, 9, 2),
            (0, Op.STORE, 0, 5, 1),
            (10**9, Op.ALLOC, 65536, 1, 0),
        ]

    def test_without_times_there_is_an_event_a_microsecond(self, tmp_path):
        text = "".join(f"{number}\n" for number in range(300_000))
        source, requests = read(put(tmp_path, text), columns="index=1")
        assert np.array_equal(requests["time_ns"], np.arange(300_000) * 1000)
        assert np.array_equal(requests["index"], np.arange(300_000))
        assert "one event a microsecond" in source.note

    @pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "   "])
    def test_the_delimiter_is_found_out(self, tmp_path, delimiter):
        text = "".join(delimiter.join(("3", "a", str(number))) + "\n" for number in range(5))
        _, requests = read(put(tmp_path, text), columns="object=3")
        assert requests["object"].tolist() == [0, 1, 2, 3, 4]

    def test_a_delimiter_that_may_be_two_is_asked_for(self, tmp_path):
        path = put(tmp_path, "1,2;3\n1,2;3\n")
        with pytest.raises(TraceError, match="may be comma or semicolon; say which with --delimiter"):
            read(path, columns="object=1")
        assert read(path, columns="object=2", delimiter=";")[1]["object"].tolist() == [3, 3]

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("2,18446744073709551616,1", "object id '18446744073709551616' is beyond 64 bits"),
            ("2," + "9" * 5000 + ",1", "object id '9999999999999999999999999999999999999999?...' is beyond 64 bits"),
            ("2,name,1", "object id 'name' is no whole number"),
            ("2,7,4294967296", "index 4294967296 is out of range"),
            ("2,7", "the line has 2 where at least 3 fields are wanted"),
            ("0.5,7,1", "the time runs backwards"),
            ("2,\0\x80,1", "is no whole number"),
        ],
    )
    def test_a_wrong_line_is_named(self, tmp_path, line, what):
        with pytest.raises(TraceError, match=rf"line 3, byte 12: .*{what}"):
            read(put(tmp_path, f"1,7,1\n1,8,2\n{line}\n3,7,1\n"), columns="time=1,object=2,index=3", delimiter=",")

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("1,put_page,1\n2,put_pge,1\n", "line 2, byte 13: op 'put_pge' is not an operation: put_page, "),
            ("1,read,1\n2,put_page,1\n", "line 2, byte 9: op 'put_page' is not read, write"),
            ("1,load,1\n", "line 1, byte 0: a page of a frontswap has no object"),
        ],
    )
    def test_operations(self, tmp_path, text, what):
        with pytest.raises(TraceError, match=what):
            read(put(tmp_path, text), columns="time=1,op=2,object=3")

    def test_the_wrong_line_far_into_a_file_is_named(self, tmp_path):
        lines = [f"{number},{number * 7}\n" for number in range(400_000)]
        lines[345_678] = "x,y\n"
        with pytest.raises(TraceError, match=rf"line 345679, byte {sum(map(len, lines[:345_678]))}: "):
            read(put(tmp_path, "".join(lines)), columns="time=1,object=2")

    def test_a_line_without_end_is_refused(self, tmp_path):
        with pytest.raises(TraceError, match=r"line 2, byte 4: the line is longer than 65536 bytes"):
            read(put(tmp_path, "1,2\n" + "1" * 3_000_000), columns="time=1,object=2", delimiter=",")

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("time=2,objekt=5", "unknown column 'objekt'; known are time, object"),
            ("time=2", "names neither object nor index"),
            ("object=0", "counted from 1"),
            ("object=1,object=2", "named twice"),
            ("object=1:ms", "only time has a unit"),
            ("object=1,time=2:min", "only time has a unit, one of ns, us, ms, s"),
            ("object", "write NAME=NUMBER"),
            ("", "write NAME=NUMBER"),
        ],
    )
    def test_wrong_maps(self, text, what):
        with pytest.raises(ValueError, match=what):
            ColumnMap.parse(text)

    def test_delimiters(self):
        assert [parse_delimiter(text) for text in ("comma", ",", "tab", "blank", "|")] == [",", ",", "\t", " ", "|"]
        for text in ("", "::", "a", "1", "\n", "."):
            with pytest.raises(ValueError, match="no delimiter"):
                parse_delimiter(text)


class TestOwn:
    def test_its_origin_stays(self, tmp_path):
        path = tmp_path / "a.trace"
        with TraceWriter(path, {"kind": "msr", "fill": True}) as trace:
            trace.write(empty(3))
        source, events = read(path)
        assert (source.kind, len(events)) == ("own", 3)
        assert source.origin() == {"kind": "msr", "fill": True}
        with pytest.raises(TraceError, match="is compressed, and a trace of tmemstore is not"):
            read(put(tmp_path, zstandard.compress(path.read_bytes())))


def test_an_empty_input_is_refused_by_every_kind(tmp_path):
    for kind in (None, "own", "oracleGeneral", "msr", "spc", "tracefs", "recorded", "references"):
        with pytest.raises(TraceError, match="the trace is empty: it holds no byte"):
            read(put(tmp_path, b""), kind)
    with pytest.raises(TraceError, match="it holds no line"):
        read(put(tmp_path, b"# only this\n\n"), columns="object=1")


def test_time_must_not_run_backwards_from_one_batch_to_the_next():
    clock = Clock()
    times, back = clock.start(np.array([7, 7, 9], "u8"))
    assert (times.tolist(), back) == ([0, 0, 2], None)
    assert clock.start(np.array([8, 9], "u8"))[1] == 0
    assert clock.start(np.array([9, 10, 9], "u8"))[1] == 2
    assert clock.start(np.array([9], "u8"))[0].tolist() == [2]


def test_an_unknown_kind_is_a_wrong_argument(tmp_path):
    with pytest.raises(ValueError, match="'lirs' is no kind of input"):
        read(put(tmp_path, b"1"), "lirs")


def test_gzip_is_read_like_the_text_in_it(tmp_path):
    plain = read(put(tmp_path, MSR))[1]
    source, requests = read(put(tmp_path, gzip.compress(MSR.encode())))
    assert np.array_equal(requests, plain)
    assert source.origin()["compression"] == "gzip"
