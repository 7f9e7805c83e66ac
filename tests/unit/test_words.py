"""The library's words in those of the command line: arguments become options, what cannot be done is not advised."""

import pytest

from tmemstore._binding import check, lib
from tmemstore.cli.main import main
from tmemstore.errors import SpillError
from tmemstore.report.words import for_options

FOREIGN = "card.img: no spill file; choose another path, or pass {}=True to lose what it holds"


@pytest.mark.parametrize(
    ("options", "text", "told"),
    [
        (
            {"ratio", "writeback"},
            'frontswap_max_percent=30 cannot be honoured with writeback="back"; the largest that can is 4',
            "--ratio 30 cannot be honoured with --writeback back; the largest that can is 4",
        ),
        ({"ratio"}, "frontswap_max_percent must be from 0 to 100, not 101", "--ratio must be from 0 to 100, not 101"),
        (set(), "frontswap_max_percent=5 cannot be honoured", "frontswap at most 5 % cannot be honoured"),
        ({"escape"}, "give escape=SIZE, as many bytes", "give --escape SIZE, as many bytes"),
        (
            {"time_scale"},
            "the times that time_scale would change; leave",
            "the times that --time-scale would change; leave",
        ),
        (
            {"overwrite"},
            FOREIGN.format("overwrite"),
            FOREIGN.format("overwrite").replace("overwrite=True", "--overwrite"),
        ),
        ({"spill"}, FOREIGN.format("spill_overwrite"), "card.img: no spill file; choose another path"),
        (
            set(),
            "held: try again when the device answers, or raise io_timeout",
            "held: try again when the device answers",
        ),
        (
            {"codec"},
            'pip install lz4, or install liblz4-1, or use codec="none"',
            "pip install lz4, or install liblz4-1, or use --codec none",
        ),
        (set(), 'pip install lz4, or install liblz4-1, or use codec="none"', "pip install lz4, or install liblz4-1"),
    ],
)
def test_an_argument_becomes_its_option(options, text, told):
    assert for_options(text, options) == told


@pytest.mark.parametrize(
    "text",
    [
        "codec=lz4/spill.img: cannot open: No such file or directory",
        "runs/codec=lz4/x.json cannot be read",
        "storage=sd.json cannot be read",
        "io_timeout.csv: line 1",
        "allow a higher effort, or a larger escape reserve",
        "the codec is damaged; storage and escape are English too",
    ],
)
def test_what_is_no_argument_stays(text):
    assert for_options(text, {"codec", "storage", "escape"}) == text


def test_a_program_reads_its_own_words():
    with pytest.raises(SpillError, match="spill_overwrite=True"):
        check(lib.TMS_E_FOREIGN)
    with pytest.raises(SpillError, match="io_timeout"):
        check(lib.TMS_E_TIMEOUT)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "eviction", "--region", "1MiB", "--spill", "file"], "not a spill file; choose another path\n"),
        (
            ["bench", "eviction", "--region", "1MiB", "--spill", ""],
            "--spill names no file; give a path, or leave it out\n",
        ),
        (["bench", "deadline", "--escape", "0"], "needs an escape reserve; give --escape SIZE, as many bytes of"),
    ],
)
def test_a_command_speaks_of_its_options(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no spill file", encoding="utf-8")
    assert main([*arguments, "-q"]) == 2
    assert said in capsys.readouterr().err
