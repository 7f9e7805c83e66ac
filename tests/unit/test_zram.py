"""The zram baseline: measured where there is root and a zram, else left out with a word; nothing stays behind."""

import os
from pathlib import Path

import numpy as np
import pytest

from tmemstore.bench.baselines import zram
from tmemstore.bench.baselines.device import Device

MIB = 1 << 20
PAGES = np.random.default_rng(1).integers(0, 64, (512, 4096), dtype=np.uint8)
DEVICE = Device(read_page_ns=50_000, write_page_ns=20_000, source="made up")


def elements(ratios=(0, 50), sizes=(4 * MIB,)):
    return list(zram.elements(ratios, sizes, PAGES, DEVICE))


def swaps():
    return Path("/proc/swaps").read_text(encoding="ascii")


def devices():
    return sorted(path.name for path in Path("/sys/block").glob("zram*"))


@pytest.fixture
def measured():
    if os.geteuid() != 0 or not zram._CONTROL.exists():
        pytest.skip("no root, or no zram in this kernel")
    before = swaps(), devices()
    (element,) = elements()
    assert (swaps(), devices()) == before
    if "left_out" in element["settings"]:
        pytest.skip(f"zram is there and not to be had: {element['settings']['left_out']}")
    return element


def test_pages_go_out_and_come_back(measured):
    none, half = measured["rows"]
    assert none["latency_ns"]["p50"] == 1024 * 120
    assert half["latency_ns"]["p50"] > 512 * 120
    assert half["refault_ns_per_mib"] > none["refault_ns_per_mib"] / 2
    assert half["calls"] == zram.CALLS
    assert half["failed"] == 0
    assert measured["settings"]["direct_write_page_ns"] > measured["settings"]["direct_read_page_ns"] > 0


def test_without_root_it_is_left_out(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (element,) = elements()
    assert element["rows"] == []
    assert "root" in element["settings"]["left_out"]


def test_without_the_module_it_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(zram, "_CONTROL", tmp_path)
    (element,) = elements()
    assert element["rows"] == []
    assert "no zram" in element["settings"]["left_out"]


@pytest.mark.usefixtures("measured")
def test_where_pages_stay_in_memory_it_is_left_out_and_the_device_is_gone(monkeypatch):
    before = swaps(), devices()
    monkeypatch.setattr(zram, "_swapped_pages", lambda: 0)
    (element,) = elements()
    assert "stay in memory" in element["settings"]["left_out"]
    assert (swaps(), devices()) == before
