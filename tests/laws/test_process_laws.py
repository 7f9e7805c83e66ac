"""Laws about whole processes: kill -9, leaks, Ctrl-C, devices that hang while the store closes, huge sizes."""

import gc
import os
import signal
import time
from pathlib import Path

import pytest

import tmemstore
from support import (
    PATIENCE,
    assert_all_back,
    child,
    noise,
    page_everything_out,
    run_child,
    scribble,
    store_pages,
    whole,
)

PREPARE = """
import sys, threading, time
import numpy as np
import tmemstore
from tmemstore import FaultSite
PAGES = {offset: np.random.default_rng(offset).bytes(4096) for offset in range(100)}
def opened(path, **options):
    tm = tmemstore.open("1MiB", path, **options)
    swap = tm.frontswap(0)
    assert all(swap.store(offset, page) for offset, page in PAGES.items())
    return tm, swap
def page_out(tm):
    tm.alloc_contig(tm.region.size_bytes).release()
def check(swap):
    out = bytearray(4096)
    assert all(swap.load(offset, out) and out == page for offset, page in PAGES.items())
"""

HOLD = (
    PREPARE
    + """
tm, swap = opened(sys.argv[1])
page_out(tm)
check(swap)
if sys.argv[2] == "writing":
    tm.store.arm_fault(FaultSite.STALL, count=2**64 - 1)
    assert all(swap.store(offset, page) for offset, page in PAGES.items())
    threading.Thread(target=tm.alloc_contig, args=(tm.region.size_bytes,), daemon=True).start()
    while not tm.store.fault_fired(FaultSite.STALL):
        time.sleep(0.001)
print("ready")
time.sleep(3600)
"""
)


def read_line(process):
    line = process.stdout.readline().strip()
    if not line:
        process.kill()
        pytest.fail("the child ended: " + process.communicate()[1])
    return line


@pytest.mark.parametrize("while_", ["idle", "writing"])
def test_after_kill_9_the_spill_file_opens_again(opened, tmp_path, while_):
    path = tmp_path / "spill.img"
    process = child(HOLD, path, while_)
    try:
        assert read_line(process) == "ready"
        with pytest.raises(tmemstore.SpillError) as error:  # two openers, in two processes
            tmemstore.open("1MiB", path)
        assert str(path) in str(error.value)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    tm = opened(spill=path)
    swap = tm.frontswap(0)
    pages = {offset: noise(500 + offset) for offset in range(100)}
    store_pages(swap, pages)
    page_everything_out(tm)
    assert_all_back(swap, pages)


INTERRUPTED = (
    PREPARE
    + """
tm, swap = opened(sys.argv[1], io_timeout="600s")
page_out(tm)
tm.store.arm_fault(FaultSite.STALL, count=2**64 - 1)
def tell():
    while not tm.store.fault_fired(FaultSite.STALL):
        time.sleep(0.001)
    print("stalled")
threading.Thread(target=tell).start()
out = np.zeros((100, 4096), np.uint8)
try:
    if sys.argv[2] == "load":
        swap.load(7, out[0])
    else:
        swap.load_many(np.arange(100, dtype=np.uint64), out)
except KeyboardInterrupt:
    print("interrupted")
else:
    raise SystemExit("no KeyboardInterrupt")
tm.verify()
tm.store.arm_fault(FaultSite.STALL, count=0)
check(swap)
tm.verify()
tm.close()
print("whole")
"""
)


@pytest.mark.parametrize("verb", ["load", "load_many"])
def test_ctrl_c_ends_a_load_on_a_stalled_device_and_loses_nothing(tmp_path, verb):
    process = child(INTERRUPTED, tmp_path / "spill.img", verb)
    try:
        assert read_line(process) == "stalled"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=2 * PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert out.split() == ["interrupted", "whole"]


HUNG_CLOSE = (
    PREPARE
    + """
tm, swap = opened(sys.argv[1], io_timeout="300ms")
page_out(tm)
assert all(swap.store(offset, page) for offset, page in PAGES.items())
tm.store.arm_fault(FaultSite.STALL, count=2**64 - 1)
endings = []
def allocate():
    try:
        tm.alloc_contig(tm.region.size_bytes, deadline="3000s")
    except tmemstore.AllocationAborted as aborted:
        endings.append(aborted.report.reason)
waiter = threading.Thread(target=allocate, daemon=True)
if sys.argv[2] == "allocating":
    waiter.start()
else:
    try:
        tm.alloc_contig(tm.region.size_bytes, deadline="100ms")
    except tmemstore.AllocationAborted:
        pass
while not tm.store.fault_fired(FaultSite.STALL):
    time.sleep(0.001)
try:
    tm.close()
except tmemstore.SpillError as error:
    print(error)
else:
    raise SystemExit("close said nothing of a device that hangs")
assert tm.closed
tm.close()
if sys.argv[2] == "allocating":
    waiter.join(60)
    assert not waiter.is_alive(), "an allocation outlived its store"
    assert endings == ["closed"], endings
"""
)


@pytest.mark.parametrize("while_", ["allocating", "aborted"])
def test_close_on_a_device_that_hangs_ends_and_says_so(tmp_path, while_):
    assert len(run_child(HUNG_CLOSE, tmp_path / "spill.img", while_).split()) >= 4


EXIT_OPEN = (
    PREPARE
    + """
tm, swap = opened(sys.argv[1])
contig = tm.alloc_contig("256KiB")
array = np.frombuffer(contig.view, np.uint8)
array[:] = 1
print("leaving")
"""
)


def test_a_process_may_end_with_everything_open(tmp_path):
    assert run_child(EXIT_OPEN, tmp_path / "spill.img").strip() == "leaving"


def count(what):
    """Entries of /proc/self/what."""
    return len(list(Path("/proc/self", what).iterdir()))


def resources():
    """(descriptors, threads) of this process."""
    gc.collect()
    return count("fd"), count("task")


def resident():
    """Resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cycle(path):
    with tmemstore.open("8MiB", path) as tm:
        swap = tm.frontswap(0)
        if path:
            store_pages(swap, {offset: noise(offset) for offset in range(50)})
        with tm.alloc_contig(whole(tm)) as contig:
            scribble(contig)
        tm.cleancache("rootfs").put_page(1, 1, noise(1))


def test_opening_and_closing_leaks_neither_threads_nor_descriptors_nor_memory(tmp_path):
    for number in range(3):
        cycle(tmp_path / f"warm-{number}.img")
    before, memory = resources(), resident()
    for number in range(30):
        cycle(tmp_path / f"spill-{number % 3}.img" if number % 4 else None)
    end = time.monotonic() + PATIENCE
    while resources() > before and time.monotonic() < end:  # the kernel takes a joined thread off a moment later
        time.sleep(0.01)
    assert resources() <= before
    assert resident() - memory < 100 << 20, "30 regions of 8 MiB were not given back"


ADDRESS_SPACE = """
import resource, tmemstore
tmemstore.open("1MiB", codec="none").close()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
try:
    tmemstore.open("256MiB")
except tmemstore.EnvironmentLacks as error:
    print(error)
tmemstore.open("1MiB", codec="none").close()
"""


def test_a_region_the_machine_cannot_give_is_environment_lacks():
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the address sanitizer itself needs more address space than the limit leaves")
    assert len(run_child(ADDRESS_SPACE).split()) >= 4


TOO_LARGE = """
import sys, tmemstore
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("1000")
try:
    tmemstore.open(int(sys.argv[1]))
except (tmemstore.EnvironmentLacks, ValueError) as error:
    print(error)
else:
    raise SystemExit("got a region larger than the machine")
"""


def test_a_region_larger_than_the_machines_memory_is_refused_without_a_signal():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert len(run_child(TOO_LARGE, 2 * memory // 4096 * 4096).split()) >= 4
