"""Readers of binary traces: small inputs become what they mean, wrong ones are named by record and byte."""

import io
import struct

import numpy as np
import pytest
import zstandard

from tmemstore import TraceError
from tmemstore.trace.events import Flag, Op
from tmemstore.trace.readers.opening import Wanted, open_input


def put(tmp_path, content):
    path = tmp_path / "input"
    path.write_bytes(content)
    return path


def read(path, kind=None):
    """The reader and all it read."""
    with open_input(path, Wanted(kind)) as source:
        blocks = list(source.blocks())
        return source, np.concatenate(blocks)


def rows(array, *names):
    return [tuple(int(value) for value in row) for row in array[list(names)].tolist()]


def saved(*arrays):
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array, allow_pickle=False)
    return file.getvalue()


class TestOracleGeneral:
    @staticmethod
    def content(records):
        return b"".join(struct.pack("<IQIq", *record) for record in records)

    RECORDS = ((100, 7, 4096, 2), (100, 1 << 63, 1, -1), (103, 7, 10_000, -1), (103, 9, 0, -1))

    def test_requests_of_whole_objects(self, tmp_path):
        source, requests = read(put(tmp_path, self.content(self.RECORDS)))
        assert (source.kind, source.requests) == ("oracleGeneral", True)
        assert rows(requests, "time_ns", "object", "index", "pages") == [
            (0, 7, 0, 1),
            (0, 1 << 63, 0, 1),
            (3 * 10**9, 7, 0, 3),
            (3 * 10**9, 9, 0, 1),
        ]

    def test_a_part_of_a_record_is_a_truncated_file(self, tmp_path):
        for cut in range(1, 24):
            with pytest.raises(TraceError, match=rf"record 4, byte 72: the file is truncated: {24 - cut} bytes"):
                read(put(tmp_path, self.content(self.RECORDS)[:-cut]))

    def test_time_that_runs_backwards(self, tmp_path):
        many = [(5, number, 1, -1) for number in range(70_000)] + [(4, 1, 1, -1)]
        with pytest.raises(TraceError, match=rf"record 70001, byte {70_000 * 24}: the time runs backwards"):
            read(put(tmp_path, self.content(many)))

    def test_other_binary_files_are_not_taken_for_it(self, tmp_path):
        for content in (np.random.default_rng(1).bytes(24 * 100), bytes(240), b"\x7fELF" + bytes(500)):
            with pytest.raises(TraceError, match="no trace of a known kind"):
                read(put(tmp_path, content))


class TestReferences:
    @pytest.mark.parametrize("dtype", ["<u4", "<u8", ">u4"])
    def test_page_numbers(self, tmp_path, dtype):
        source, requests = read(put(tmp_path, saved(np.array([3, 1, 4, 1], dtype))))
        assert (source.kind, source.requests) == ("references", True)
        assert rows(requests, "time_ns", "object", "index", "pages") == [
            (0, 0, 3, 1),
            (1000, 0, 1, 1),
            (2000, 0, 4, 1),
            (3000, 0, 1, 1),
        ]

    def test_numbers_beyond_32_bits(self, tmp_path):
        _, requests = read(put(tmp_path, saved(np.array([(5 << 32) + 6], "<u8"))))
        assert rows(requests, "object", "index") == [(5, 6)]

    @pytest.mark.parametrize(
        "array",
        [np.zeros(3, "f8"), np.zeros((3, 2), "u4"), np.zeros(3, "i8"), np.zeros(3, "u1"), np.zeros((6000, 4096), "u1")],
    )
    def test_other_arrays_are_refused(self, tmp_path, array):
        for kind in (None, "references"):
            with pytest.raises(TraceError, match="holds "):
                read(put(tmp_path, saved(array)), kind)

    def test_objects_are_never_unpickled(self, tmp_path):
        file = io.BytesIO()
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(
            TraceError, match="byte 0: the array's head is damaged, or its type is none that a trace has"
        ):
            read(put(tmp_path, file.getvalue()))

    def test_truncated_and_too_long(self, tmp_path):
        whole = saved(np.arange(100, dtype="u4"))
        with pytest.raises(TraceError, match="record 100, byte 527: the file is truncated"):
            read(put(tmp_path, whole[:-1]))
        with pytest.raises(TraceError, match="byte 528: something follows the 100 page numbers"):
            read(put(tmp_path, whole + b"x"))


def recorded(
    times=(5, 5, 7, 7, 9, 9, 9), op=(0, 1, 2, 2, 3, 4, 5), flag=(1, 0, 0, 0, 1, 0, 0), pools=None, objects=None
):
    """A recorded trace as arrays: differences in bytes apart."""
    index = np.array([4, 4, 5, 0xFFFFFFFF, 8, 8, 8], "u4")
    objects = np.array(objects or [6, 6, 6, 7, 0, 0, 0], "u4")

    def apart(values):
        steps = np.diff(values, prepend=values.dtype.type(0))
        return np.ascontiguousarray(steps.view("u1").reshape(len(values), -1).T)

    return [
        apart(np.array(times, "u8")),
        np.array(op, "u1"),
        np.array(flag, "u1"),
        np.array(pools or [0, 0, 3, 3, 1002, 1002, 1002], "u2"),
        apart(objects),
        apart(index),
    ]


class TestRecorded:
    def test_events(self, tmp_path):
        source, events = read(put(tmp_path, zstandard.compress(saved(*recorded()))))
        assert (source.kind, source.requests, source.origin()["compression"]) == ("recorded", False, "zstd")
        assert rows(events, "time_ns", "op", "pool", "object", "index", "flags") == [
            (5, Op.PUT_PAGE, 0, 6, 4, 0),
            (5, Op.GET_PAGE, 0, 6, 4, 0),
            (7, Op.INVALIDATE_PAGE, 3, 6, 5, 0),
            (7, Op.INVALIDATE_INODE, 3, 7, 0, 0),
            (9, Op.STORE, 2, 0, 8, Flag.FILLED),
            (9, Op.LOAD, 2, 0, 8, 0),
            (9, Op.INVALIDATE_SWAP, 2, 0, 8, 0),
        ]

    def test_sums_go_on_from_block_to_block(self, tmp_path):
        rng = np.random.default_rng(3)
        count = 150_000
        arrays = [rng.integers(0, 256, (2, count), "u1"), np.zeros(count, "u1"), np.zeros(count, "u1")]
        arrays += [
            np.zeros(count, "u2"),
            rng.integers(0, 256, (4, count), "u1"),
            rng.integers(0, 256, (4, count), "u1"),
        ]
        _, events = read(put(tmp_path, saved(*arrays)))
        for name, planes, dtype in (
            ("time_ns", arrays[0], "u8"),
            ("object", arrays[4], "u4"),
            ("index", arrays[5], "u4"),
        ):
            steps = sum(plane.astype("u8") << np.uint64(8 * at) for at, plane in enumerate(planes))
            assert np.array_equal(events[name], np.cumsum(steps.astype(dtype), dtype=dtype)), name

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"op": (0, 1, 2, 2, 3, 6, 5)}, "record 6: the operation is unknown"),
            ({"flag": (1, 0, 0, 0, 2, 0, 0)}, "record 5: the flag of a store is unknown"),
            ({"pools": [0, 0, 3, 3, 1002, 2, 1002]}, "record 6: a swap area has a number below 1000"),
            ({"pools": [0, 1000, 3, 3, 1002, 1002, 1002]}, "record 2: a file system has a number from 1000 on"),
            ({"objects": [6, 6, 6, 7, 0, 0, 1]}, "record 7: a page of a swap area has an object"),
            ({"times": (5, 5, 7, 6, 9, 9, 9)}, "record 4: the time runs backwards"),
        ],
    )
    def test_a_wrong_record_is_named(self, tmp_path, change, what):
        with pytest.raises(TraceError, match=what):
            read(put(tmp_path, saved(*recorded(**change))))

    def test_truncation_at_every_byte(self, tmp_path):
        whole = saved(*recorded())
        for length in range(len(whole)):
            with pytest.raises(TraceError):
                read(put(tmp_path, whole[:length]), "recorded")
        with pytest.raises(TraceError, match=f"byte {len(whole)}: something follows the last column"):
            read(put(tmp_path, whole + b"x"), "recorded")
