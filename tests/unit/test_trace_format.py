"""The trace file: what comes back is what was written, and whatever was done to a file is found by name."""

import json
import random
import struct
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tmemstore import TraceError
from tmemstore.trace.columns import BLOCK_EVENTS, empty
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.format import MAGIC, TraceWriter, open_trace

ORIGIN = {"kind": "test", "name": "made up", "note": "für Tests"}


def events(count, seed=0, **columns):
    rng = np.random.default_rng(seed)
    records = empty(count)
    records["time_ns"] = np.cumsum(rng.integers(0, 1 << 20, count, dtype=np.uint64))
    records["op"] = rng.integers(0, Op.STORE, count)
    records["object"] = rng.integers(0, 1 << 64, count, dtype=np.uint64) >> rng.integers(0, 64, count, dtype=np.uint64)
    records["index"] = rng.integers(0, 1 << 32, count)
    for name, value in columns.items():
        records[name] = value
    return records


def write(path, *blocks, origin=ORIGIN):
    with TraceWriter(path, origin) as trace:
        for records in blocks:
            trace.write(records)
    return path


def read(path):
    with open_trace(path) as trace:
        return np.concatenate(list(trace.blocks()))


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "small.trace", events(20, op=Op.STORE, object=0, size=700, pool=3))


class TestRoundTrip:
    record = st.fixed_dictionaries(
        {
            "step": st.integers(0, 1 << 60) | st.integers(0, 300),
            "op": st.integers(0, len(Op) - 1),
            "object": st.integers(1, (1 << 64) - 1),
            "index": st.integers(0, (1 << 32) - 1),
            "pool": st.integers(0, (1 << 16) - 1),
            "size": st.integers(0, 4096),
            "flags": st.integers(0, 3),
        }
    )

    @settings(max_examples=150)
    @given(st.lists(record, min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 40))
    def test_what_comes_back_is_what_was_written(self, tmp_path_factory, made, piece, times):
        records = empty(len(made))
        for name in RECORD.names:
            if name != "time_ns":
                records[name] = [one[name] for one in made]
        records["object"][(records["op"] >= Op.STORE) & (records["op"] <= Op.INVALIDATE_AREA)] = 0
        records["time_ns"] = np.cumsum([one["step"] for one in made], dtype=np.uint64)
        records = np.repeat(records, times)
        path = tmp_path_factory.getbasetemp() / "round.trace"
        write(path, *(records[at : at + piece] for at in range(0, len(records), piece)))
        assert np.array_equal(read(path), records)

    @pytest.mark.parametrize("count", [1, BLOCK_EVENTS - 1, BLOCK_EVENTS, BLOCK_EVENTS + 1, 3 * BLOCK_EVENTS])
    def test_blocks_are_full_but_for_the_last(self, tmp_path, count):
        records = events(count)
        half = count // 2
        path = write(tmp_path / "a.trace", records[:half], records[half:])
        with open_trace(path) as trace:
            lengths = [len(block) for block in trace.blocks()]
            assert np.array_equal(np.concatenate(list(trace.blocks())), records), "a second time from the start"
            assert (trace.events, trace.last_ns) == (count, records["time_ns"][-1])
        assert all(length == BLOCK_EVENTS for length in lengths[:-1])
        assert sum(lengths) == count

    def test_the_unused_bytes_of_a_record_are_zero(self, small):
        with open_trace(small) as trace:
            (block,) = trace.blocks()
        assert not np.frombuffer(block.tobytes(), "u1").reshape(20, 32)[:, 26:].any()

    def test_two_iterators_do_not_disturb_each_other(self, tmp_path):
        records = events(2 * BLOCK_EVENTS + 5)
        with open_trace(write(tmp_path / "a.trace", records)) as trace:
            pairs = list(zip(trace.blocks(), trace.blocks(), strict=True))
        assert all(np.array_equal(one, other) for one, other in pairs)

    def test_the_header_tells_the_origin(self, small):
        with open_trace(small) as trace:
            assert trace.header.origin == ORIGIN
            assert trace.header.creator.startswith("tmemstore ")
            assert trace.header.schema == "tmemstore.trace/1"

    def test_the_same_events_are_the_same_bytes(self, tmp_path):
        first = write(tmp_path / "a.trace", events(1000)).read_bytes()
        assert write(tmp_path / "b.trace", *np.split(events(1000), 10)).read_bytes() == first


class TestWriter:
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"op": 11}, "11 is no operation"),
            ({"op": Op.STORE, "object": 0, "size": 4097}, "4097 bytes is above 4096"),
            ({"flags": 4}, "unknown flag"),
            ({"op": Op.LOAD, "object": 1}, "has no object"),
            ({"op": Op.ALLOC, "object": 0}, "an allocation of 0 bytes"),
            ({"time_ns": 0}, "the time runs backwards"),
        ],
    )
    def test_refuses_what_no_trace_may_hold_and_leaves_no_file(self, tmp_path, change, what):
        records = events(10)
        records["time_ns"] += 1
        for name, value in change.items():
            records[name][7] = value
        with pytest.raises(TraceError, match=f"record 18: .*{what}"):
            write(tmp_path / "a.trace", events(10, time_ns=0), records)
        assert list(tmp_path.iterdir()) == []

    def test_time_must_not_run_backwards_between_two_writes(self, tmp_path):
        with pytest.raises(TraceError, match="record 11: the time runs backwards"):
            write(tmp_path / "a.trace", events(10, time_ns=5), events(10, time_ns=4))

    def test_a_trace_without_events_is_not_written(self, tmp_path):
        with pytest.raises(TraceError, match="no event to write"):
            write(tmp_path / "a.trace", empty(0))
        assert list(tmp_path.iterdir()) == []

    def test_an_error_leaves_the_old_file(self, small):
        before = small.read_bytes()
        with pytest.raises(TypeError), TraceWriter(small, ORIGIN) as trace:
            trace.write(np.zeros(3))
        assert small.read_bytes() == before
        assert [path.name for path in small.parent.iterdir()] == [small.name]

    @pytest.mark.parametrize("records", [np.zeros(3), np.zeros((2, 2), RECORD)])
    def test_takes_records_only(self, tmp_path, records):
        with pytest.raises(TypeError, match="RECORD"):
            write(tmp_path / "a.trace", records)


class TestDamage:
    def test_truncation_at_every_byte_is_found_when_opening(self, small, tmp_path):
        whole = small.read_bytes()
        cut = tmp_path / "cut.trace"
        for length in range(len(whole)):
            cut.write_bytes(whole[:length])
            with pytest.raises(TraceError, match=r"cut\.trace: "):
                open_trace(cut)

    def test_every_flipped_bit_is_found(self, small, tmp_path):
        whole = small.read_bytes()
        bad = tmp_path / "bad.trace"
        for at in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            bad.write_bytes(flipped)
            with pytest.raises(TraceError, match=r"bad\.trace: .*byte [0-9]+: "):
                read(bad)

    @pytest.mark.parametrize("seed", range(200))
    def test_random_changes_with_right_checksums_raise_nothing_else(self, small, tmp_path, seed):
        """Blocks that a program wrote wrongly on purpose: content changed, packed and checked anew."""
        rng = random.Random(seed)
        content = bytearray(zstandard.decompress(self.frame_of(small)))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.choice((0, 1, 2, 8, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        bad = self.with_frame(small, zstandard.ZstdCompressor(write_checksum=True).compress(bytes(content)), tmp_path)
        try:
            records = read(bad)
        except TraceError as error:
            assert "record " in str(error)
        else:
            assert len(records) == 20

    def test_a_frame_without_a_checksum_or_larger_than_a_block_is_refused(self, small, tmp_path):
        content = zstandard.decompress(self.frame_of(small))
        plain = zstandard.ZstdCompressor(write_checksum=False).compress(content)
        large = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(8 << 20))
        for frame in (plain, large, b"nothing", plain[:9]):
            with pytest.raises(TraceError, match=r"record 1, byte [0-9]+: the block is damaged"):
                read(self.with_frame(small, frame, tmp_path))

    @staticmethod
    def start_of(path):
        return path.read_bytes().index(b"BLCK")

    def frame_of(self, path):
        return path.read_bytes()[self.start_of(path) + 16 : -28]

    def with_frame(self, path, frame, folder):
        whole = path.read_bytes()
        changed = folder / "changed.trace"
        block = struct.pack("<4sIII", b"BLCK", 20, len(frame), zlib.crc32(frame)) + frame
        changed.write_bytes(whole[: self.start_of(path)] + block + whole[-28:])
        return changed

    def test_a_lost_block_is_found(self, tmp_path):
        path = write(tmp_path / "a.trace", events(BLOCK_EVENTS + 10))
        whole = path.read_bytes()
        second = whole.rindex(b"BLCK")
        path.write_bytes(whole[:second] + whole[-28:])
        with pytest.raises(TraceError, match=r"no block begins here|truncated"):
            read(path)

    def test_blocks_that_changed_places_are_found(self, tmp_path):
        path = write(tmp_path / "a.trace", events(2 * BLOCK_EVENTS))
        whole = path.read_bytes()
        first, second = whole.index(b"BLCK"), whole.rindex(b"BLCK")
        path.write_bytes(whole[:first] + whole[second:-28] + whole[first:second] + whole[-28:])
        with pytest.raises(TraceError, match=f"record {BLOCK_EVENTS + 1}, byte [0-9]+: the time runs backwards"):
            read(path)

    @pytest.mark.parametrize("change", [(0, 1, 0), (0, 0, 1), (-1, 0, 0)])
    def test_an_end_mark_that_speaks_of_something_else_is_found(self, small, change):
        whole = small.read_bytes()
        tag, *counts = struct.unpack("<4sIQQ", whole[-28:-4])
        end = struct.pack("<4sIQQ", tag, *(count + more for count, more in zip(counts, change, strict=True)))
        small.write_bytes(whole[:-28] + end + struct.pack("<I", zlib.crc32(end)))
        with pytest.raises(TraceError, match="the end mark speaks of"):
            read(small)

    def test_an_index_beyond_32_bits_is_found(self, small, tmp_path):
        head = struct.pack("<8B7Q", 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, (1 << 32) - 1, 0, 0, 0, 0)
        frame = zstandard.ZstdCompressor(write_checksum=True).compress(head + bytes(19) + b"\1")
        with pytest.raises(
            TraceError, match=r"record 1, byte [0-9]+: the block is damaged: an index is beyond 32 bits"
        ):
            read(self.with_frame(small, frame, tmp_path))


class TestForeign:
    def header(self, document, version=1):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        start = MAGIC + struct.pack("<II", version, len(text)) + text
        end = struct.pack("<4sIQQ", b"TEND", 0, 0, 0)
        return start + struct.pack("<I", zlib.crc32(start)) + end + struct.pack("<I", zlib.crc32(end))

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "the file is empty"),
            (b"something else", "byte 0: is no trace of tmemstore"),
            (zstandard.compress(b"tmtrace\n"), "is compressed"),
            (b"\x1f\x8b\x08", "is compressed"),
        ],
    )
    def test_other_files_are_named_for_what_they_are(self, tmp_path, content, what):
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(TraceError, match=what):
            open_trace(path)

    @pytest.mark.parametrize(
        ("document", "version", "what"),
        [
            ({"schema": "tmemstore.trace/1", "origin": {}, "creator": "x"}, 1, "the trace is empty"),
            ({"schema": "tmemstore.trace/1", "origin": {}, "creator": "x"}, 2, "version 2 of the format is unknown"),
            ({"schema": "tmemstore.trace/2", "origin": {}, "creator": "x"}, 1, "does not name the schema"),
            ({"schema": "tmemstore.trace/1", "origin": []}, 1, "lacks origin or creator"),
            ([], 1, "does not name the schema"),
            (b"{", 1, "the header is no JSON"),
            (b"[" * 100_000, 1, "the header is no JSON"),
            (b'{"a": "\xff"}', 1, "the header is no JSON"),
        ],
    )
    def test_headers(self, tmp_path, document, version, what):
        path = tmp_path / "other"
        path.write_bytes(self.header(document, version))
        with pytest.raises(TraceError, match=what):
            open_trace(path)

    def test_what_is_no_file_is_refused(self, tmp_path):
        for path in (tmp_path, tmp_path / "missing", "/dev/null", "a\0b"):
            with pytest.raises(TraceError):
                open_trace(path)

    @pytest.mark.parametrize("seed", range(100))
    def test_random_bytes_raise_nothing_else(self, tmp_path, seed):
        rng = random.Random(seed)
        path = tmp_path / "noise"
        path.write_bytes(rng.choice((b"", MAGIC, MAGIC + b"\1\0\0\0")) + rng.randbytes(rng.randrange(300)))
        with pytest.raises(TraceError):
            read(path)
