"""A replay in real memory and real time decides as the one in virtual time does, and ends when it is told to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import lz4.block
import numpy as np
import pytest
import zstandard

from tmemstore.trace import images, phases, sizes
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.outcome import replay
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

FRAMES = 512
RATE = 1e6
COMPRESS = {
    "lz4": lambda page: lz4.block.compress(page, store_size=False),
    "zstd": zstandard.ZstdCompressor(1).compress,
}
UNIT = 64


def load():
    return phases.make(FRAMES, 5000, ("frontswap", "cleancache"), seed=9).events


@pytest.mark.parametrize("writeback", ["back", "through"])
@pytest.mark.parametrize("percent", [30, 100])
def test_where_nothing_depends_on_time_or_content_both_agree_exactly(writeback, percent):
    events = load()
    told = []
    for real in (False, True):
        made = Settings(
            region_bytes=FRAMES * PAGE_SIZE,
            storage="ufs3.1",
            codec="none",
            writeback=writeback,
            frontswap_percent=percent,
            rate=RATE,
            real=real,
        )
        document = replay(lambda: [events], made, origin={})
        told.append([document[part] for part in ("operations", "cleancache", "end")])
        swap = document["frontswap"]
        told[-1] += [swap[name] for name in ("stores", "refused", "loads", "hits_region", "hits_spill", "misses")]
    assert told[0] == told[1]
    assert told[0][1]["hits"] > 0
    assert told[0][6] > 0


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_images_compress_to_what_was_asked_for(codec):
    made = images.make(3, codec)
    wanted = np.arange(200, PAGE_SIZE)
    compressed = np.array([len(COMPRESS[codec](page.tobytes())) for page in made.pages])
    assert np.abs(compressed[made.of_size[wanted]] - wanted).max() <= UNIT
    drawn = sizes.table(codec)
    units = -(-compressed[made.of_size[drawn[drawn > 0]]] // UNIT)
    assert units.sum() == pytest.approx((-(-drawn[drawn > 0].astype(int) // UNIT)).sum(), rel=0.01)


def test_images_are_as_dense_as_the_model_of_the_compress_route_says():
    """Of lz4's bytes zstd leaves 65 %, of a raw page lz4 leaves 32 %."""
    made = images.make(3, "lz4")
    drawn = sizes.table("lz4")
    pages = [made.pages[number].tobytes() for number in made.of_size[drawn[(drawn > 0) & (drawn < PAGE_SIZE)]]]
    dense, kept = (sum(len(COMPRESS[codec](page)) for page in pages) for codec in ("zstd", "lz4"))
    assert dense / kept == pytest.approx(0.652, abs=0.03)
    raw = images.make(3, "none")
    page = raw.pages[raw.of_size[PAGE_SIZE]].tobytes()
    assert len(COMPRESS["lz4"](page)) / PAGE_SIZE == pytest.approx(0.319, abs=0.01)


def test_only_the_first_image_is_same_filled():
    for codec in ("none", "lz4", "zstd"):
        made = images.make(3, codec)
        words = made.pages.view("<u8")
        assert (words == words[:, :1]).all(axis=1).tolist() == [True] + [False] * (len(words) - 1)
        assert made.of_size[0] == 0
        assert made.of_size[1:].min() > 0


def test_ctrl_c_ends_a_real_replay_with_one_sentence(tmp_path):
    events = load()
    events["time_ns"] = np.linspace(0, 3600 * 10**9, len(events)).astype(np.uint64)
    with TraceWriter(tmp_path / "hour.tmt", {"kind": "own"}) as trace:
        trace.write(events)
    command = [sys.executable, "-c", "from tmemstore.cli.main import main; import sys; sys.exit(main())"]
    command += ["replay", str(tmp_path / "hour.tmt"), "--real", "--region", "4MiB"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # numpy's would be counted
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        tasks = Path(f"/proc/{running.pid}/task")
        # Its cleaner is there: the store is open, and the hour has begun.
        while len(list(tasks.iterdir())) < 6 and running.poll() is None:
            pass
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err == "tmemstore replay: interrupted\n"
