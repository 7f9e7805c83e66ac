"""Pages for the benches: real, all different, and none made of one word."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tmemstore.bench import anonymous, anonymous_child, filepages, foreign, pages
from tmemstore.bench.arena import PAGE, Arena, Seen


def distinct(count):
    """As many different pages as asked for, from the sources of the standard library."""
    arena = Arena(count, Seen())
    filepages.collect(filepages.blocks(np.random.default_rng(1)), arena, count)
    return arena.pages


class TestArena:
    def test_holds_no_page_twice_over_all_arenas_that_share_what_was_seen(self):
        seen = Seen()
        one, other = Arena(8, seen), Arena(8, seen)
        block = distinct(4).copy()
        assert one.add(block) == 4
        assert one.add(block) == 0
        assert other.add(block) == 0
        assert seen.repeated == 8
        assert (one.pages == block).all()

    def test_counts_same_filled_pages_and_leaves_them_out(self):
        seen = Seen()
        arena = Arena(8, seen)
        block = np.zeros((3, PAGE), dtype=np.uint8)
        block[1] = 7
        block[2, 4095] = 1
        assert arena.add(block) == 1
        assert seen.same_filled == 2

    def test_stops_when_full(self):
        arena = Arena(2, Seen())
        assert arena.add(distinct(5).copy()) == 2
        assert arena.room == 0


class TestFilePages:
    def test_the_tail_of_a_file_is_padded_with_zeros(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"x" * (PAGE + 1))
        got = filepages.read_pages(str(path), 0, 10)
        assert got.shape == (2, PAGE)
        assert bytes(got[1]) == b"x" + bytes(PAGE - 1)
        assert filepages.read_pages(str(path), 2, 1) is None

    def test_links_special_files_and_unreadable_ones_are_passed_over(self, tmp_path):
        (tmp_path / "file").write_bytes(b"x")
        (tmp_path / "link").symlink_to(tmp_path / "file")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "inner").write_bytes(b"y")
        os.mkfifo(tmp_path / "pipe")
        found = sorted(filepages.walk(str(tmp_path), np.random.default_rng(1)))
        assert found == [str(tmp_path / "file"), str(tmp_path / "folder" / "inner")]
        assert filepages.read_pages(str(tmp_path / "link"), 0, 1) is None
        assert filepages.read_pages(str(tmp_path / "nothing"), 0, 1) is None
        assert list(filepages.walk(str(tmp_path / "nothing"), np.random.default_rng(1))) == []

    def test_many_files_take_turns(self):
        several = [block for _, block in zip(range(40), filepages.blocks(np.random.default_rng(1)), strict=False)]
        assert len(several) == 40
        assert max(len(block) for block in several) <= 64


class TestAnonymousPages:
    MAPS = (
        "5581a0000000-5581a0021000 rw-p 00000000 00:00 0                          [heap]\n"
        "7f0000000000-7f0000021000 rw-p 00000000 00:00 0\n"
        "7f0000021000-7f0000022000 ---p 00000000 00:00 0\n"
        "7f1000000000-7f1000001000 rw-p 00001000 fe:01 1234                       /usr/lib/a b.so\n"
        "7f2000000000-7f2000001000 rw-s 00000000 00:01 77                         /dev/zero (deleted)\n"
        "100000000000-180000000000 rw-p 00000000 00:00 0\n"
        "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n"
    )

    def test_private_writable_anonymous_mappings_only(self):
        found = anonymous_child.private_writable(self.MAPS)
        assert [start for start, _ in found] == [0x5581A0000000, 0x7F0000000000, 0x7FFC00000000]
        assert {end - start for start, end in found} == {0x21000}

    def test_memory_that_was_never_touched_is_passed_over(self):
        code = (
            "import mmap, sys; sys.path.append(sys.argv[1]); from anonymous_child import touched_blocks\n"
            "m = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
            "m[5 << 20] = 1\n"
            "print(sum(stop - start for start, stop in touched_blocks('self')) >> 20)"
        )
        command = [sys.executable, "-c", code, str(Path(anonymous_child.__file__).parent)]
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=foreign.environment())
        assert int(found.stdout) < 40

    def test_a_source_is_parsed_and_tokenized(self):
        source = io.BytesIO(b"x = 1\nprint(x)\n").getvalue()
        assert anonymous_child.parsed(source)
        assert anonymous_child.tokens(source)

    def test_a_program_that_ends_at_once_gives_nothing(self):
        program = foreign.Foreign("true", [sys.executable, "-c", ""], None)
        try:
            assert list(program.snapshots(10)) == []
        finally:
            program.close()

    def test_a_program_that_says_it_is_ready_is_looked_at_while_it_is_stopped(self):
        code = "import sys; kept = [str(i) * 9 for i in range(99999)]; print('ready', flush=True); sys.stdin.read()"
        program = foreign.Foreign("python", [sys.executable, "-c", code], None)
        try:
            blocks = [block.copy() for block in program.snapshots(512)]
        finally:
            program.close()
        assert sum(len(block) for block in blocks) >= 256

    def test_a_program_the_kernel_lets_nobody_look_into_is_left_out_with_a_note(self, monkeypatch):
        class Closed:
            name = "perl"
            ended = False

            def snapshots(self, _most):
                raise PermissionError(1, "Operation not permitted")

            def close(self):
                self.ended = True

        program = Closed()
        monkeypatch.setattr(foreign, "start", lambda _texts: iter([program]))
        with anonymous.AnonymousPages(Arena(300, Seen()), 300) as source:
            while source.arena.count < 300:
                assert source.collect(300, wait=True)
        assert source.notes == ["the memory of perl could not be read: Operation not permitted"]
        assert program.ended
        assert set(source.origins) == {"python"}


class TestLivePages:
    def test_the_pages_asked_for_are_there_and_all_different(self):
        files, anonymous = pages.gather(300, 1500)
        assert len(files) >= 300
        assert len(anonymous) >= 1500
        every = [bytes(one) for one in (*files, *anonymous)]
        assert len(set(every)) == len(every)
        assert not any(one == one[:8] * 512 for one in every)

    def test_every_process_is_gone_afterwards(self):
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        before = children.read_text(encoding="ascii").split() if children.exists() else []
        with pages.LivePages(10, 500) as source:
            source.need(10, 500)
            assert source.describe()["anon_origins"]
        assert not children.exists() or set(children.read_text(encoding="ascii").split()) <= set(before)

    def test_too_few_pages_are_an_error_that_says_what_to_do(self, monkeypatch):
        monkeypatch.setattr(filepages, "roots", lambda: [[], []])
        with pages.LivePages(10, 10) as source, pytest.raises(pages.NotEnoughPages, match=r"smaller --region"):
            source.need(10, 0)


class TestPagesOfAFile:
    def save(self, tmp_path, array, name="pages.npy"):
        path = tmp_path / name
        np.save(path, array, allow_pickle=True)
        return path

    def test_the_kinds_share_no_page(self, tmp_path):
        content = distinct(60)
        path = self.save(tmp_path, np.concatenate([content, content[:20], np.zeros((3, PAGE), np.uint8)]))
        with pages.open_pages(path, 100, 100) as source:
            source.need(20, 40)
            every = {bytes(one) for one in (*source.file_pages, *source.anon_pages)}
            assert len(source.file_pages) == 20
            assert len(source.anon_pages) == 40
            assert every == {bytes(one) for one in content}
            assert source.describe()["repeated"] == 20
            assert source.describe()["same_filled"] == 3

    def test_what_is_asked_for_first_stays_part_of_what_is_asked_for_later(self, tmp_path):
        with pages.open_pages(self.save(tmp_path, distinct(50)), 25, 25) as source:
            source.need(0, 10)
            source.need(15, 25)
            assert len(source.file_pages) == 15
            assert len(source.anon_pages) == 25

    def test_too_few_pages_are_an_error_with_numbers(self, tmp_path):
        path = self.save(tmp_path, distinct(50))
        with (
            pages.open_pages(path, 100, 100) as source,
            pytest.raises(pages.PagesFileError, match=r"holds 50 distinct"),
        ):
            source.need(30, 30)

    @pytest.mark.parametrize(
        ("array", "complaint"),
        [
            (np.zeros((4, PAGE), dtype=np.int8), "dtype int8"),
            (np.zeros((4, 100), dtype=np.uint8), r"shape \(4, 100\)"),
            (np.zeros(PAGE, dtype=np.uint8), r"shape \(4096,\)"),
            (np.zeros((2, 2, PAGE), dtype=np.uint8), r"shape \(2, 2, 4096\)"),
            (np.array([{"a": 1}], dtype=object), "damaged or not an array"),
        ],
    )
    def test_a_wrong_array_is_refused_by_name(self, tmp_path, array, complaint):
        with pytest.raises(pages.PagesFileError, match=complaint):
            pages.load_npy(self.save(tmp_path, array))

    def test_a_file_that_is_none_of_ours_is_refused(self, tmp_path):
        path = tmp_path / "pages.npy"
        with pytest.raises(pages.PagesFileError, match="No such file"):
            pages.load_npy(path)
        path.write_bytes(b"hello")
        with pytest.raises(pages.PagesFileError, match=r"not a \.npy file"):
            pages.load_npy(path)
        whole = self.save(tmp_path, distinct(4)).read_bytes()
        path.write_bytes(whole[:-PAGE])
        with pytest.raises(pages.PagesFileError, match="damaged"):
            pages.load_npy(path)
