"""Inputs as bytes: unpacked as they are read, never cut short in silence; whatever they are, errors are TraceErrors."""

import gzip
import io
import random
import struct

import numpy as np
import pytest
import zstandard

from tmemstore import TraceError
from tmemstore.trace.readers.column_map import KINDS, ColumnMap
from tmemstore.trace.readers.opening import Wanted, open_input
from tmemstore.trace.readers.stream import Stream


def packed(data, name):
    return {
        "plain": lambda: data,
        "zstd": lambda: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        "gzip": lambda: gzip.compress(data, mtime=0),
    }[name]()


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def everything(path):
    with Stream(path) as stream:
        parts = []
        while part := stream.read(1000):
            parts.append(part)
        assert stream.offset == sum(map(len, parts))
        assert stream.fraction == 1
        return b"".join(parts)


NOISE = np.random.default_rng(5).bytes(5000) + bytes(400_000)


class TestStream:
    @pytest.mark.parametrize("name", ["plain", "zstd", "gzip"])
    @pytest.mark.parametrize("length", [1, 999, 1000, 1025, len(NOISE)])
    def test_gives_the_content(self, tmp_path, name, length):
        path = tmp_path / "input"
        path.write_bytes(packed(b"a" + NOISE[: length - 1], name))
        assert everything(path) == b"a" + NOISE[: length - 1]

    @pytest.mark.parametrize("name", ["zstd", "gzip"])
    @pytest.mark.parametrize("first", [0, 1, *range(1000, 1030)])
    def test_frames_one_behind_the_other(self, tmp_path, name, first):
        """Wherever the magic number of the second falls in what is read at a time."""
        path = tmp_path / "input"
        content = np.random.default_rng(1).bytes(first)
        path.write_bytes(packed(content, name) + packed(b"second", name))
        assert everything(path) == content + b"second"

    def test_skippable_frames_are_skipped(self, tmp_path):
        path = tmp_path / "input"
        skipped = b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"
        path.write_bytes(skipped + packed(b"one", "zstd") + skipped + packed(b"two", "zstd"))
        assert everything(path) == b"onetwo"

    @pytest.mark.parametrize("name", ["zstd", "gzip"])
    def test_truncation_at_every_byte_is_found(self, tmp_path, name):
        path = tmp_path / "input"
        whole = packed(NOISE[:700], name)
        for length in range(4, len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(TraceError, match=f"the {name} data is truncated"):
                everything(path)

    @pytest.mark.parametrize("inner", ["zstd", "gzip"])
    @pytest.mark.parametrize("outer", ["zstd", "gzip"])
    def test_compressed_twice(self, tmp_path, inner, outer):
        path = tmp_path / "input"
        path.write_bytes(packed(packed(b"1,2\n", inner), outer))
        with pytest.raises(TraceError, match=f"byte 0: is compressed twice, {inner} within {outer}: unpack it once"):
            Stream(path)

    @pytest.mark.parametrize("name", ["zstd", "gzip"])
    def test_what_follows_is_not_passed_over(self, tmp_path, name):
        path = tmp_path / "input"
        for rest in (b"x", b"garbage", bytes(2000)):
            path.write_bytes(packed(b"content", name) + rest)
            with pytest.raises(TraceError, match=f"byte 7: something else follows the {name} data"):
                everything(path)

    def test_a_little_that_unpacks_to_a_lot_takes_little_memory(self, tmp_path):
        path = tmp_path / "input"
        path.write_bytes(zstandard.compress(bytes(1 << 28)))
        assert path.stat().st_size < 50_000
        with Stream(path) as stream:
            stream.read(1)
            assert len(stream._ahead) <= 1024 // 3 * (128 << 10)

    @pytest.mark.parametrize("size", [3, 1 << 20, (1 << 20) + 1])
    def test_lines_are_counted_and_placed(self, tmp_path, size):
        path = tmp_path / "input"
        text = b"".join(b"%d\r\n" % number for number in range(300_000))[: 3 * size]
        path.write_bytes(text)
        with Stream(path) as stream:
            lines = [(batch.place(at), line) for batch in stream.lines() for at, line in enumerate(batch.lines[:3])]
        for place, line in lines:
            assert text[place["offset"] :].split(b"\n")[0].rstrip(b"\r") == line
            assert text.count(b"\n", 0, place["offset"]) == place["line"] - 1

    def test_what_cannot_be_read_is_refused(self, tmp_path):
        for path in (tmp_path, tmp_path / "missing", "a\0b"):
            with pytest.raises(TraceError):
                everything(path)


SEEDS = (
    b"128166372003061629,usr,0,Read,7014609920,24576,41286\n" * 3,
    b"0,20941264,8192,W,0.551706\n0,20939840,8192,r,0.554041\n",
    b"x-1 [0] 1.000001: mm_filemap_add_to_page_cache: dev 8:1 ino 1 pfn=1 ofs=0 order=3\n" * 3,
    struct.pack("<IQIq", 1, 2, 3, -1) * 5,
    saved(np.arange(10, dtype="u4")),
    b"".join(saved(np.zeros(shape, dtype)) for shape, dtype in (((1, 4), "u1"), (4, "u1"), (4, "u1"), (4, "u2")))
    + saved(np.zeros((4, 4), "u1")) * 2,
)


@pytest.mark.parametrize("seed", range(400))
def test_whatever_an_input_is_errors_are_trace_errors(tmp_path, seed):
    rng = random.Random(seed)
    data = bytearray(rng.choice((*SEEDS, rng.randbytes(rng.randrange(200)))))
    for _ in range(rng.randrange(6)):
        if data:
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 1, 5))] = rng.choice((b"", b"\n", b",", b"9" * 30, rng.randbytes(1)))
    path = tmp_path / "input"
    path.write_bytes(packed(bytes(data), rng.choice(("plain", "zstd", "gzip"))))
    if rng.random() < 0.3:
        damaged = bytearray(path.read_bytes())
        damaged[rng.randrange(len(damaged)) :] = rng.randbytes(rng.randrange(20))
        path.write_bytes(damaged)
    kind = rng.choice((None, None, None, *KINDS))
    columns = ColumnMap.parse(rng.choice(("object=1", "time=1,object=2,op=4", "time=5:ms,index=2,size=3,pool=1")))
    wanted = Wanted(kind, columns if kind in {"csv", "text"} else None, rng.choice((None, ",")))
    try:
        with open_input(path, wanted) as source:
            assert sum(len(block) for block in source.blocks()) >= 0
    except TraceError as error:
        assert str(path) in str(error)
