"""``tmemstore replay``: its document, its table, its exit codes, and what it refuses in one sentence."""

import json
import re

import pytest

from replay_support import SWAP, apart, events_of, mixed, write
from tmemstore.cli.main import main
from tmemstore.trace.events import Op

S = 10**9


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trace(tmp_path):
    return write(tmp_path / "load.tmt", mixed(1, count=3000)).name


@pytest.fixture
def run(capsys):
    """Run replay, quietly, and return (exit code, standard output, standard error)."""

    def call(*arguments):
        try:
            code = main(["replay", *map(str, arguments)])
        except SystemExit as exited:
            code = exited.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def replayed(run):
    """Run replay and return its document."""

    def call(*arguments, code=0):
        ended, said, remarks = run(*arguments, "--format", "json", "--quiet")
        assert (ended, remarks) == (code, "")
        return json.loads(said)

    return call


class TestDocument:
    def test_compare_reads_it_and_finds_what_got_worse(self, trace, replayed, tmp_path, capsys):
        names = []
        for share in (100, 0):
            document = replayed(trace, "--region", "1MiB", "--ratio", share, "--contract", "256KiB:50ms")
            names.append(tmp_path / f"{share}.json")
            names[-1].write_text(json.dumps(document))
        assert main(["compare", str(names[0]), str(names[0]), "--fail", "saved:1%"]) == 0
        assert main(["compare", str(names[0]), str(names[1]), "--fail", "frontswap_hits:10%"]) == 1
        assert "frontswap_hits" in capsys.readouterr().out

    def test_it_has_the_fields_that_were_promised(self, trace, replayed):
        document = replayed(trace)
        assert document["schema"] == "tmemstore.replay/1"
        assert document["operations"] == 3000
        assert document["wall_ns"] > 0
        for name, fields in {
            "cleancache": {"puts", "gets", "hits"},
            "frontswap": {"stores", "refused", "loads", "hits_region", "hits_spill"},
        }.items():
            assert fields <= document[name].keys()
            assert all(isinstance(document[name][field], int) for field in fields)
        assert document["trace"] == {"name": trace, "origin": {"kind": "test"}}
        assert document["command"].startswith("tmemstore replay load.tmt")

    def test_it_is_the_same_to_the_byte_but_for_wall_ns_and_machine(self, trace, replayed):
        arguments = (trace, "--contract", "64MiB:50ms", "--escape", "8MiB", "--ratio", "70:30")
        first, second = (json.dumps(apart(replayed(*arguments))) for _ in range(2))
        assert first == second

    def test_another_seed_is_another_result(self, trace, replayed):
        first, second = (apart(replayed(trace, "--seed", seed), "arguments", "command") for seed in ("1", 2**64 - 1))
        assert first["trace"] == second["trace"]
        assert first != second

    def test_all_times_are_whole_and_say_ns(self, trace, replayed):
        def look(value, name=""):
            if isinstance(value, dict):
                for key, inner in value.items():
                    look(inner, key)
            elif isinstance(value, list):
                for inner in value:
                    look(inner, name)
            elif name.endswith("_ns"):
                assert value is None or isinstance(value, int), name
            return value

        look(replayed(trace, "--contract", "8MiB:50ms", "--region", "16MiB"))

    def test_the_options_reach_the_store(self, trace, replayed):
        options = {
            "region_bytes": ("--region", "8MiB", 8 << 20),
            "eviction": ("--eviction", "lru", "lru"),
            "only": ("--only", "frontswap", "frontswap"),
            "writeback": ("--writeback", "through", "through"),
            "storage": ("--storage", "ufs3.1", "ufs3.1"),
            "escape_bytes": ("--escape", "2MiB", 2 << 20),
            "codec": ("--codec", "zstd", "zstd"),
            "seed": ("--seed", "7", 7),
            "admission_filter": ("--admission", "off", False),
            "time_scale": ("--time-scale", "0.5", 0.5),
            "frontswap_percent": ("--ratio", "70:30", 30),
        }
        told = replayed(trace, *(part for option in options.values() for part in option[:2]))
        for name, (_, _, value) in options.items():
            assert told["arguments"][name] == value
        assert told["percent_in_force"] == 30

    @pytest.mark.parametrize(("ratio", "percent"), [("30", 30), ("70:30", 30), ("auto", 100), ("0", 0)])
    def test_the_knob(self, trace, replayed, ratio, percent):
        assert replayed(trace, "--ratio", ratio)["percent_in_force"] == percent

    def test_the_adaptive_knob_tells_its_changes_and_their_reasons(self, tmp_path, replayed):
        write(tmp_path / "long.tmt", mixed(3, count=60_000, pages=3000))
        document = replayed("long.tmt", "--ratio", "adaptive", "--region", "2MiB")
        assert document["knob"]
        assert all(0 <= change["percent"] <= 100 and change["reason"] for change in document["knob"])

    def test_only_one_kind(self, trace, replayed):
        clean, swap = (replayed(trace, "--only", kind) for kind in ("cleancache", "frontswap"))
        assert (clean["frontswap"]["loads"], swap["cleancache"]["gets"]) == (0, 0)
        assert clean["operations"] + swap["operations"] == 3000

    def test_times(self, trace, replayed):
        last_ns = 2999 * 100_000
        assert replayed(trace)["trace_ns"] == last_ns
        assert replayed(trace, "--time-scale", "3")["trace_ns"] == 3 * last_ns
        assert replayed(trace, "--rate", "1000")["trace_ns"] == 2999 * S // 1000

    def test_allocations(self, trace, replayed):
        assert replayed(trace)["allocations"]["count"] == 0
        document = replayed(trace, "--allocate", "1MiB@10ms:1ms")
        assert document["allocations"]["count"] == 29 == document["allocations"]["met"]
        assert replayed(trace, "--contract", "1MiB:50ms:hard", "--escape", "1MiB")["allocations"]["count"] >= 1000

    def test_a_fill_trace(self, tmp_path, replayed):
        gets = events_of({"op": Op.GET_PAGE, "index": number % 50} for number in range(1000))
        write(tmp_path / "fill.tmt", gets, fill=True)
        clean = replayed("fill.tmt")["cleancache"]
        assert (clean["gets"], clean["hits"], clean["puts"]) == (1000, 950, 50)

    def test_for_real(self, trace, replayed):
        options = (trace, "--region", "2MiB", "--writeback", "through", "--codec", "none", "--storage", "ufs3.1")
        replay, real = replayed(*options), replayed(*options, "--real", "--rate", "1e9")
        assert (real["arguments"]["real"], replay["arguments"]["real"]) == (True, False)
        assert real["frontswap"]["hits_region"] == replay["frontswap"]["hits_region"]

    def test_for_real_over_a_file(self, trace, tmp_path, replayed):
        options = ("--region", "1MiB", "--writeback", "through", "--codec", "none", "--real", "--rate", "1e9")
        document = replayed(trace, *options, "--ratio", "10", "--spill", tmp_path / "spill.img")
        assert document["arguments"]["spill"] == "spill.img"
        assert document["frontswap"]["hits_spill"] > 0
        assert document["frontswap"]["errors"] == 0


class TestTable:
    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("--contract", "1MiB:50ms", "--region", "2MiB", "--escape", "1MiB"),
            ("--storage", "emulate:sd-a1,sigma=0.5,pause_every=64MiB,pause=10ms", "--region", "2MiB"),
            ("--region", "1MiB", "--writeback", "through", "--time-scale", "1e9"),
        ],
    )
    def test_it_fits_80_columns(self, trace, run, options):
        code, said, remarks = run(trace, *options)
        assert code == 0
        assert remarks == ""
        assert max(map(len, said.splitlines())) <= 80
        for word in ("cleancache", "frontswap", "device time saved", "written"):
            assert word in said

    def test_a_long_name_of_a_profile_does_not_widen_it(self, trace, run, tmp_path):
        from tmemstore.storage.presets import PRESETS

        path = tmp_path / ("a" * 90 + ".json")
        PRESETS["emmc5.1"].save(path)
        assert run(trace, "--storage", path)[0] == 0

    def test_numbers_of_a_whole_day_fit_too(self):
        from tmemstore.report.replay import replay_table
        from tmemstore.trace.outcome import replay
        from tmemstore.trace.settings import Settings

        events = mixed(1, count=500)
        settings = Settings(region_bytes=8 << 20)
        document = replay(lambda: iter([events]), settings, origin={})
        for kind in ("cleancache", "frontswap"):
            big = {name: 10**12 for name, value in document[kind].items() if isinstance(value, int)}
            document[kind] |= big | {"rejects": dict.fromkeys(document[kind]["rejects"], 10**12)}
        document["allocations"] |= {"count": 10**9, "met": 10**9, "reasons": {"none": 10**9, "deadline": 10**9}}
        assert max(map(len, replay_table(document).splitlines())) <= 80


class TestExitCodes:
    def test_an_aborted_allocation_is_1(self, tmp_path, replayed):
        rows = [{"op": Op.STORE, "index": number, "size": 4096} for number in range(512)]
        write(tmp_path / "full.tmt", events_of([*rows, {"op": Op.ALLOC, "object": 1 << 20, "time_ns": S}]))
        stalled = ("--region", "2MiB", "--writeback", "back", "--storage", "emulate:emmc5.1,stall=500ms+1000s")
        document = replayed("full.tmt", *stalled, code=1)
        assert (document["allocations"]["aborted"], document["allocations"]["met"]) == (1, 0)

    def test_a_refused_one_is_0(self, tmp_path, replayed):
        rows = [{"op": Op.ALLOC, "index": number, "object": 1 << 20} for number in range(3)]
        write(tmp_path / "twice.tmt", events_of(rows))
        assert replayed("twice.tmt", "--region", "2MiB")["allocations"]["refused"] == 1

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--contract", "512MiB:50ms"), "larger"),
            (("--allocate", "512MiB@1s"), "larger"),
            (("--contract", "64MB:50ms"), "MiB"),
            (("--contract", "64MiB"), "SIZE:TIME"),
            (("--storage", "floppy"), "floppy"),
            (("--storage", "emulate:floppy"), "floppy"),
            (("--storage", "emulate:emmc5.1,speed=3"), "speed"),
            (("--ratio", "70:40"), "100"),
            (("--ratio", "101"), "ratio"),
            (("--writeback", "around"), "behind"),
            (("--eviction", "mru"), "sieve"),
            (("--codec", "gzip"), "zstd"),
            (("--only", "zswap"), "frontswap"),
            (("--region", "1000"), "region|4096"),
            (("--region", "512KiB"), "1MiB"),
            (("--region", "-1"), "size"),
            (("--allocate", "64MiB"), "SIZE@PERIOD"),
            (("--allocate", "4KiB@1ns"), "longer period"),
            (("--time-scale", "0"), "above 0"),
            (("--time-scale", "nan"), "above 0"),
            (("--time-scale", "inf"), "above 0"),
            (("--rate", "-5"), "above 0"),
            (("--rate", "1e-300"), "clock|above 0"),
            (("--rate", "10", "--time-scale", "2"), "the times that --time-scale would change"),
            (
                ("--ratio", "100", "--writeback", "back", "--contract", "8M:9ms"),
                "--ratio 100 .* --writeback back under",
            ),
            (("--contract", "8M:9ms:hard"), "give --escape SIZE"),
            (("--seed", "-1"), "seed|whole number"),
            (("--seed", 2**64), "2\\*\\*64|18446744073709551615"),
            (("--spill", "x.img"), "real"),
            (("--confidence", "0.999"), "99.9"),
            (("--format", "yaml"), "json"),
        ],
    )
    def test_wrong_usage_is_2_and_one_sentence(self, trace, run, options, said):
        code, out, error = run(trace, "--region", "256MiB", *options)
        assert (code, out) == (2, "")
        assert_sentence(error, said)

    def test_no_trace_is_2(self, run, tmp_path):
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "text").write_text("0,0,4096,R,0.5\n", encoding="utf-8")
        for name, said in (("empty", "empty"), ("text", "convert"), ("nowhere", "No such file"), (".", "regular")):
            code, out, error = run(name)
            assert (code, out) == (2, "")
            assert_sentence(error, said)

    def test_a_broken_trace_is_2_and_names_file_and_record(self, trace, run, tmp_path):
        good = (tmp_path / trace).read_bytes()
        (tmp_path / "cut.tmt").write_bytes(good[:-5])
        middle = len(good) // 2
        (tmp_path / "bad.tmt").write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        for name, said in (("cut.tmt", "truncated"), ("bad.tmt", r"bad.tmt: record 1, byte \d+: ")):
            code, out, error = run(name)
            assert (code, out) == (2, "")
            assert_sentence(error, said)

    def test_an_event_that_no_store_can_take_names_file_and_event(self, run, tmp_path):
        write(tmp_path / "wide.tmt", events_of([{"op": Op.STORE}, {"op": Op.ALLOC, "object": 1 << 40}]))
        code, out, error = run("wide.tmt")
        assert (code, out) == (2, "")
        assert_sentence(error, "wide.tmt: event 2: .*larger")


def assert_sentence(error, said):
    """One line that begins with the command's name and says so."""
    lines = error.strip().splitlines()
    assert "Traceback" not in error
    assert re.search(said, lines[-1]), error
    assert lines[-1].startswith("tmemstore"), error
    assert len([line for line in lines if not line.startswith("usage:")]) == 1, error


def test_info_runs_nothing(trace, run):
    code, said, _ = run(trace, "--info")
    assert code == 0
    assert "3 000" in said


def test_events_of_one_kind_that_are_not_there_are_a_replay_of_nothing(tmp_path, replayed):
    write(tmp_path / "swap.tmt", mixed(1, count=100, weights=SWAP))
    assert replayed("swap.tmt", "--only", "cleancache")["operations"] == 0
