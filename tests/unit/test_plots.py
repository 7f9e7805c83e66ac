"""The picture: that it is drawn, from which numbers, and what happens without matplotlib."""

import copy
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tmemstore import EnvironmentLacks
from tmemstore.report import plots

DOCUMENT = json.loads((Path(__file__).parents[1] / "golden" / "eviction.json").read_text(encoding="utf-8"))


def test_both_forms_are_written(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
    svg, png = plots.eviction_drawing(DOCUMENT).save(tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ET.parse(svg).getroot().tag.endswith("svg")  # noqa: S314 - our own file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eviction.png", "eviction.svg"]


def test_the_same_document_gives_the_same_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
    first, _ = plots.eviction_drawing(DOCUMENT).save(tmp_path)
    before = first.read_bytes()
    again, _ = plots.eviction_drawing(DOCUMENT).save(tmp_path)
    assert again.read_bytes() == before


def drawn(document):
    figure = pytest.importorskip("matplotlib.figure", reason="pictures need the extra tmemstore[plot]").Figure()
    plots._draw(figure, document)
    return figure.axes[0]


def test_what_is_drawn_is_what_was_measured():
    axes = drawn(DOCUMENT)
    lines = {line.get_label(): line for line in axes.lines}
    dearest = lines["64 MiB, dearest window, p50 to max"]
    assert list(dearest.get_xdata()) == [0, 50, 100]
    assert list(dearest.get_ydata())[:2] == [1.237, 31.94]
    assert "64 MiB, cheapest window, p50" in lines
    assert "256 MiB, whole region, p50 to max" in lines
    assert not any("256 MiB, cheapest" in label for label in lines)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["100:0", "50:50", "0:100"]
    assert "(ms)" in axes.get_ylabel()
    assert "cleancache:frontswap" in axes.get_xlabel()


def test_a_deadline_is_drawn_too():
    document = copy.deepcopy(DOCUMENT)
    document["arguments"]["deadline_ns"] = 50_000_000
    assert "deadline" in [text.get_text() for text in drawn(document).get_legend().get_texts()]


def test_one_row_is_enough():
    document = copy.deepcopy(DOCUMENT)
    document["rows"] = document["rows"][:1]
    assert drawn(document).lines


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentLacks, match=r"pip install 'tmemstore\[plot\]'"):
        plots.eviction_drawing(DOCUMENT).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
