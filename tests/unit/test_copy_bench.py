"""`bench copy`: the page cache, the jobs, the document and its table."""

import json

import numpy as np
import pytest

import tmemstore
from tmemstore.bench import copy, copy_jobs
from tmemstore.bench.pagecache import Disk, PageCache, _runs
from tmemstore.cli import bench_copy
from tmemstore.cli.main import main
from tmemstore.report.copy import copy_table


@pytest.fixture
def disk(tmp_path):
    disk = Disk(str(tmp_path / "disk"), 300)
    yield disk
    disk.close()


def lines(text):
    return text.splitlines()


# ---- the page cache ------------------------------------------------------------------------------


def test_a_disk_without_room_for_the_files_is_said():
    with pytest.raises(tmemstore.EnvironmentLacks, match="make room"):
        Disk("/dev/full", 300)


def test_a_page_is_read_once_while_it_is_here(disk):
    cache = PageCache(disk, [0], 20, None)
    cache.read(0, 0, 10)
    cache.read(0, 5, 10)
    assert (cache.counts.pages, cache.counts.here, cache.counts.device) == (20, 5, 15)


def test_the_least_recently_used_page_goes_first(disk):
    cache = PageCache(disk, [0], 3, None)
    for page in (0, 1, 2, 0, 3):  # 1 goes
        cache.read(0, page, 1)
    cache.read(0, 0, 1)
    assert cache.counts.device == 4
    cache.read(0, 1, 1)
    assert cache.counts.device == 5


def test_what_the_page_cache_gives_up_comes_back_from_the_cleancache(disk):
    with tmemstore.open("1MiB", storage=tmemstore.CostModel()) as tm:
        cache = PageCache(disk, [0, 120], 40, tm.cleancache("x"), first_inode=7)
        for _ in range(2):
            for file in range(2):
                for first in range(0, 120, 30):
                    cache.read(file, first, 30)
        counts = cache.counts
        assert counts.pages == 480
        assert counts.here + counts.cleancache + counts.device == 480
        assert counts.device == 240
        assert tm.stats().clean_hits == counts.cleancache
        assert counts.copy_ns > 0
        tm.verify()


def test_single_pages_and_runs_with_holes_are_what_was_read(disk):
    random = np.random.default_rng(3)
    with tmemstore.open("1MiB", storage=tmemstore.CostModel()) as tm:
        cache = PageCache(disk, [0], 50, tm.cleancache("x"))
        for _ in range(400):  # it raises if a page is another
            first = int(random.integers(280))
            cache.read(0, first, int(random.integers(1, 20)))
        assert cache.counts.cleancache > 0


def test_another_page_than_was_asked_for_is_noticed(disk):
    class Liar:
        def get_page(self, _inode, _index, _out):
            return True

        def put_page(self, _inode, _index, _page):
            return True

    cache = PageCache(disk, [0], 10, Liar())
    with pytest.raises(tmemstore.VerifyError):
        cache.read(0, 5, 1)


@pytest.mark.parametrize(
    ("numbers", "others", "runs"),
    [
        ([], [], []),
        ([7], [3], [(0, 1)]),
        ([4, 5, 6], [1, 2, 3], [(0, 3)]),
        (range(3), range(3), [(0, 3)]),
        ([4, 5, 6], [1, 3, 4], [(0, 1), (1, 3)]),
        ([4, 6, 5], [1, 2, 3], [(0, 1), (1, 2), (2, 3)]),
        ([4, 9, 6], [4, 9, 6], [(0, 1), (1, 2), (2, 3)]),
        ([9, 10, 2, 3], [5, 6, 7, 8], [(0, 2), (2, 4)]),
    ],
)
def test_runs_are_the_places_where_both_go_up_by_one(numbers, others, runs):
    assert list(_runs(numbers, others)) == runs


# ---- the jobs ------------------------------------------------------------------------------------


def test_a_stream_reads_everything_once_in_order():
    ((requests, work),) = copy_jobs.stream(1000).steps
    assert work is None
    pages = [first + n for _, first, count in requests for n in range(count)]
    assert pages == list(range(1000))


def test_zipf_reads_some_pages_much_more_often_than_others():
    ((requests, _),) = copy_jobs.zipf(1000, 20_000, 1).steps
    counts = np.sort(np.bincount([first for _, first, _ in requests], minlength=1000))[::-1]
    assert counts[:10].sum() > 20 * counts[500:510].sum()
    assert copy_jobs.zipf(1000, 100, 1).steps == copy_jobs.zipf(1000, 100, 1).steps


def test_a_tree_is_read_whole_and_twice():
    job = copy_jobs.tree(2000, 1)
    ((requests, _),) = job.steps
    read = [(file, first + n) for file, first, count in requests for n in range(count)]
    assert len(set(read)) == 2000
    assert read == read[:2000] * 2
    assert len(job.bases) > 100


def test_a_compilation_reads_the_headers_of_each_source(tmp_path):
    job = copy_jobs.compilation(tmp_path)
    if job is None:
        pytest.skip("no C compiler is on the PATH")
    (requests, work), *others = job.steps
    assert len(requests) > 10
    assert others
    work()
    assert (tmp_path / "source.o").exists()


def test_without_a_compiler_there_is_no_compilation(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert copy_jobs.compilation(tmp_path) is None


# ---- the interval --------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "rank"), [(7, 1), (8, 1), (9, 2), (15, 4), (31, 10)])
def test_the_interval_is_that_of_the_sign_test(count, rank):
    """Ranks from a table of the sign test, 5 % two-sided."""
    ordered = [float(n) for n in range(1, count + 1)]
    assert copy.interval(ordered) == (rank, count + 1 - rank)


# ---- the whole -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    arguments = copy.Arguments(
        region_bytes=8 << 20, cache_bytes=8 << 20, rounds=7, jobs=("stream", "tree"), near=str(folder)
    )
    document = copy.run(arguments)
    assert not list(folder.iterdir()), "the files that were read are gone"
    return document


def test_a_row_for_each_job_and_mode(document):
    assert [(row["job"], row["mode"]) for row in document["rows"]] == [
        (job, mode) for job in ("stream", "tree, twice") for mode in copy.MODES
    ]
    assert document["schema"] == "tmemstore.bench.copy/1"
    assert {"machine", "arguments", "commit", "remarks", "wall_ns"} <= set(document)
    assert document["machine"]["spill"]["filesystem"]
    json.dumps(document, allow_nan=False)


def test_off_and_idle_find_nothing_and_a_full_store_what_comes_again(document):
    rows = {(row["job"], row["mode"]): row for row in document["rows"]}
    for job in ("stream", "tree, twice"):
        assert rows[job, "off"]["copy_ns_per_page"] == 0
        assert rows[job, "off"]["against_off"]["p50"] == 1
        assert rows[job, "off"]["hit_rate_cleancache"] == rows[job, "idle"]["hit_rate_cleancache"] == 0
        assert rows[job, "idle"]["copy_ns_per_page"] > 0
    for mode in ("full", "filtered"):
        assert rows["stream", mode]["hit_rate_cleancache"] == 0
        assert rows["tree, twice", mode]["saved_ns_per_page"] > 0
    judged = {row["mode"] for row in document["rows"] if row["met"] is not None}
    assert judged == {"filtered"}


def test_compare_takes_it(document, tmp_path, capsys):
    path = tmp_path / "copy.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert main(["compare", str(path), str(path), "--fail", "against_off:1%", "--fail", "mb_per_s:1%"]) == 0
    assert "stream, filtered" in capsys.readouterr().out


def test_the_table_has_80_columns(document):
    text = copy_table(document)
    assert max(map(len, lines(text))) <= 80
    assert "filtered" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--jobs", "sleep"], "stream, zipf, tree, compile"),
        (["--region", "4MiB"], "8MiB"),
        (["--region", "256GiB"], "less than 256 GiB"),
        (["--cache", "8388609"], "multiple"),
        (["--rounds", "3"], "at least 7"),
        (["--refault", "soon"], "soon"),
    ],
)
def test_wrong_usage_is_said(tmp_path, capsys, arguments, word):
    try:
        code = main(["bench", "copy", *arguments, "--out", str(tmp_path)])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert word in capsys.readouterr().err


def test_the_command_knows_the_jobs_there_are():
    assert bench_copy._JOBS == copy.JOBS
