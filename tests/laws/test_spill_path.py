"""Bad input, the spill path: each gives SpillError with a sentence, and what was there stays as it was."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import tmemstore
from support import (
    PAGE,
    assert_all_back,
    noise,
    page_everything_out,
    run_child,
    scribble,
    store_pages,
    try_alloc,
    whole,
)
from tmemstore import Ending, SpillError

MOUNT, UMOUNT = shutil.which("mount"), shutil.which("umount")
FOREIGN = b"somebody's thesis\n" * 1000


def refused(path, error=SpillError, **options):
    """Opening fails with a sentence that names the path."""
    with pytest.raises(error) as caught:
        tmemstore.open("1MiB", path, **options)
    sentence = str(caught.value)
    assert len(sentence.split()) >= 4
    assert str(path) in sentence
    return sentence


def works(opened, path, **options):
    tm = opened("1MiB", spill=path, **options)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(50)}
    store_pages(swap, pages)
    page_everything_out(tm)
    assert_all_back(swap, pages)
    tm.close()


def test_a_directory_is_refused(tmp_path):
    refused(tmp_path)
    refused(tmp_path, spill_overwrite=True)
    assert tmp_path.is_dir()


def test_a_symlink_is_refused_and_its_target_unchanged(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"")
    link.symlink_to(target)
    refused(link)
    refused(link, spill_overwrite=True)
    assert target.read_bytes() == b""
    assert link.is_symlink()
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    refused(dangling)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "content",
    [FOREIGN, b"x", b"\0" * 4096, b"\0" * 8192, b"tmemstore", os.urandom(100_000)],
    ids=["text", "one byte", "a zero block", "zeros", "our name only", "noise"],
)
def test_a_foreign_non_empty_file_is_refused_and_unchanged(opened, tmp_path, content):
    path = tmp_path / "precious"
    path.write_bytes(content)
    path.chmod(0o640)
    before = path.stat()
    sentence = refused(path)
    assert "overwrite" in sentence
    after = path.stat()
    assert path.read_bytes() == content
    assert (after.st_size, after.st_mode, after.st_mtime_ns) == (before.st_size, before.st_mode, before.st_mtime_ns)
    works(opened, path, spill_overwrite=True)


def test_our_header_damaged_is_foreign(opened, tmp_path):
    path = tmp_path / "spill.img"
    works(opened, path)
    data = bytearray(path.read_bytes())
    data[:4] = b"\xff" * 4
    path.write_bytes(data)
    refused(path)
    assert path.read_bytes() == data
    works(opened, path, spill_overwrite=True)


def test_an_empty_file_is_taken(opened, tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    works(opened, path)


def test_a_path_in_a_missing_folder_is_refused(tmp_path):
    refused(tmp_path / "missing" / "spill.img")
    assert not (tmp_path / "missing").exists()


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file" / "spill.img")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full", "/dev/zero"])
def test_a_character_device_is_refused(device):
    if not Path(device).exists():
        pytest.skip(f"{device} is not here")
    refused(device)
    refused(device, spill_overwrite=True)


def test_a_fifo_is_refused_and_does_not_hang(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    refused(path)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000], ids=["empty", "with a zero byte", "too long"])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises((ValueError, SpillError)) as caught:
        tmemstore.open("1MiB", path)
    assert len(str(caught.value).split()) >= 4


@pytest.mark.parametrize("path", [1, 1.5, ["spill.img"], True], ids=str)
def test_a_path_of_the_wrong_type_is_a_type_error(path):
    with pytest.raises(TypeError) as caught:
        tmemstore.open("1MiB", path)
    assert len(str(caught.value).split()) >= 4


def test_the_path_may_be_text_or_path(opened, tmp_path):
    works(opened, str(tmp_path / "a.img"))
    works(opened, tmp_path / "b.img")


AS_NOBODY = """
import os, sys, tmemstore
tmemstore.open("1MiB", codec="none").close()
if os.getuid() == 0:
    os.setegid(65534); os.seteuid(65534)
try:
    tmemstore.open("1MiB", sys.argv[1], codec="none").close()
except tmemstore.SpillError as error:
    print("refused:", error)
else:
    print("opened")
"""


@pytest.fixture
def reachable():
    """A folder that every user may look into (pytest's own are root's alone)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_read_only_file_is_refused_and_unchanged(reachable):
    path = reachable / "frozen"
    path.write_bytes(b"")
    path.chmod(0o444)
    sentence = run_child(AS_NOBODY, path)
    assert sentence.startswith("refused:")
    assert str(path) in sentence
    assert path.read_bytes() == b""
    path.chmod(0o666)
    assert run_child(AS_NOBODY, path).strip() == "opened"


def test_a_file_in_a_folder_that_may_not_be_written_is_refused(reachable):
    folder = reachable / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    sentence = run_child(AS_NOBODY, folder / "spill.img")
    assert sentence.startswith("refused:")
    assert str(folder) in sentence
    assert not list(folder.iterdir())


@pytest.fixture
def tiny(tmp_path):
    """A file system of 512 KiB."""
    if os.getuid() != 0 or not (MOUNT and UMOUNT):
        pytest.skip("mounting a tiny tmpfs takes root and mount(8)")
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mount refused: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run([UMOUNT, "-l", folder], check=True)


def test_a_full_file_system_aborts_and_loses_nothing(opened, tiny):
    try:
        tm = opened("2MiB", spill=tiny / "spill.img", codec="none")
    except SpillError:  # it may want room ahead of time; then it says so
        refused(tiny / "spill.img")
        return
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(400)}
    store_pages(swap, pages)
    contig, report = try_alloc(tm, whole(tm))
    assert contig is None
    assert report.ending in (Ending.REFUSED, Ending.ABORTED)
    tm.verify()
    assert_all_back(swap, pages)
    swap.invalidate_area()
    store_pages(swap, {1: noise(1)})
    with tm.alloc_contig(100 * PAGE) as contig:
        scribble(contig)
    assert_all_back(swap, {1: noise(1)})
    tm.close()


def test_a_read_only_file_system_is_refused(tiny):
    subprocess.run([MOUNT, "-o", "remount,ro", tiny], check=True)
    refused(tiny / "spill.img")


def test_two_openers_of_one_spill_file(opened, tmp_path):
    path = tmp_path / "one.img"
    tm = opened(spill=path)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(100)}
    store_pages(swap, pages)
    page_everything_out(tm)
    refused(path)
    refused(path, spill_overwrite=True)
    assert_all_back(swap, pages)
    tm.close()
    works(opened, path)


def test_a_failed_open_leaves_no_thread_and_no_descriptor(tmp_path):
    path = tmp_path / "precious"
    path.write_bytes(FOREIGN)
    refused(path)
    before = resources()
    for _ in range(10):
        refused(path)
        refused(tmp_path)
    assert resources() == before


def resources():
    """(descriptors, threads) of this process."""
    return tuple(len(list(Path("/proc/self", what).iterdir())) for what in ("fd", "task"))
