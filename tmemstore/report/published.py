"""GCMA's published latencies beside ours, for the same page counts. They are quoted, not measured here.

From SeongJae Park's cover letters of GCMA on linux-mm, under "Latency (u-seconds)" of their performance evaluation: a
CuBox i4 Pro, four ARM v7 cores at 1 GHz, 800 MiB of memory, a class 10 microSD card, an area of 256 MiB, 32 requests of
each size while a kernel is built. Only what a reader compares with care is comparable: another machine, another card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tmemstore.report.tables import milliseconds, nearest_percent

PAGES = (1, 512, 1024, 2048, 4096, 8192, 16384, 32000)
PAGE_BYTES = 4096
MACHINE = "published: CuBox i4 Pro, class 10 microSD card, while it builds a kernel"

_US = 1000
_LINE = "{:>6}" + " {:>5}" * 12
_GROUP = " {:^17}"
_SYSTEMS = ("gcma", "gcma.zram", "cma")


@dataclass(frozen=True, slots=True)
class Letter:
    """A cover letter, and its table: of each system min, max and average for each of PAGES, in us."""

    year: int
    source: str
    holds: str
    latency_us: Mapping[str, Sequence[tuple[int, int, int]]]


LETTERS = (
    Letter(
        2015,
        "[RFC v2 0/5] introduce gcma, linux-mm, 24 Feb 2015, <1424721263-25314-1-git-send-email-sj38.park@gmail.com>",
        "cleancache and frontswap, written through",
        {
            "gcma": (
                (13, 279, 26),
                (512, 10140, 2002),
                (1016, 17426, 3495),
                (2029, 27027, 5983),
                (4087, 86887, 13091),
                (8254, 75976, 17519),
                (16398, 98087, 30474),
                (32328, 92502, 44675),
            ),
            "gcma.zram": (
                (14, 274, 101),
                (510, 648, 600),
                (1014, 1284, 1192),
                (2142, 3781, 2829),
                (4101, 6046, 4780),
                (9888, 11386, 10580),
                (21079, 23641, 22491),
                (44859, 654966, 249453),
            ),
            "cma": (
                (381, 2853, 684),
                (818, 2382, 1162),
                (3113, 184703, 12303),
                (2545, 790727, 33084),
                (2899, 2768349, 298640),
                (4476, 3496211, 407076),
                (7266, 4132546, 657603),
                (8612, 3910423, 641340),
            ),
        },
    ),
    Letter(
        2014,
        "[RFC v1 0/6] introduce gcma, linux-mm, 12 Nov 2014, <1415718010-18663-1-git-send-email-sj38.park@gmail.com>",
        "frontswap only, written through",
        {
            "gcma": (
                (13, 43, 13),
                (384, 588, 411),
                (763, 15580, 1433),
                (1564, 41844, 3158),
                (3122, 10491, 3608),
                (6152, 10682, 6903),
                (12544, 50947, 15647),
                (25427, 62671, 29331),
            ),
            "gcma.zram": (
                (13, 34, 13),
                (384, 3326385, 104419),
                (766, 42521, 3548),
                (1536, 11930, 2379),
                (3081, 13155, 3793),
                (6154, 37543, 8406),
                (12499, 16819, 13522),
                (25354, 65421, 28721),
            ),
            "cma": (
                (383, 53397, 15737),
                (578, 3909212, 135736),
                (3074, 4277142, 386083),
                (3862, 3334665, 246806),
                (2502, 3813997, 266966),
                (12244, 4196931, 656029),
                (5447, 4071272, 853303),
                (18505, 4293604, 1102669),
            ),
        },
    ),
)


def published_table(document: Mapping[str, Any]) -> str:
    """Return the table beside a ``tmemstore.bench.eviction/1`` document, at most 80 columns.

    Ours are of the rows with as many pages, at the ratio nearest to 71:29; "-" for a count that the run has not.
    Raises KeyError for a document that lacks a key of the schema.
    """
    percent = nearest_percent(document)
    lines = [f"Times in ms beside the published ones of GCMA; ours at {100 - percent}:{percent}", MACHINE]
    for letter in LETTERS:
        heads = ("this run", *(f"{name} {letter.year}*" for name in _SYSTEMS))
        lines += ["", " " * 6 + "".join(map(_GROUP.format, heads))]
        lines.append(_LINE.format("pages", *("min", "max", "avg") * len(heads)))
        for number, pages in enumerate(PAGES):
            theirs = [time * _US for name in _SYSTEMS for time in letter.latency_us[name][number]]
            lines.append(_LINE.format(pages, *map(milliseconds, (*_ours(document, pages, percent), *theirs))))
    lines += ["", "*     published, not measured here; area 256 MiB, 32 requests of each:"]
    lines += [line for letter in LETTERS for line in _source(letter)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _ours(document: Mapping[str, Any], pages: int, percent: int) -> tuple[int | None, int | None, int | None]:
    """Return min, max and average of the dearest window, in ns; None where no such row, or no time, is there."""
    for row in document["rows"]:
        if (row["size_bytes"], row["frontswap_percent"]) == (pages * PAGE_BYTES, percent):
            samples = row["elapsed_samples_ns"]
            if samples:
                return min(samples), max(samples), round(sum(samples) / len(samples))
    return None, None, None


def _source(letter: Letter) -> Iterator[str]:
    title, _, message = letter.source.rpartition(", ")
    yield f"{letter.year}  {title},"
    yield f"      {message}"
    yield f"      ({letter.holds})"
