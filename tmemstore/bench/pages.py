"""Real pages for the benches: file pages and anonymous pages of this machine, or the pages of a ``.npy`` file.

No page is made up and none comes twice, in either kind; pages whose words are all equal are left out (they take no
frame) and counted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from tmemstore import EnvironmentLacks, TmemError
from tmemstore.bench import filepages
from tmemstore.bench.anonymous import AnonymousPages
from tmemstore.bench.arena import PAGE, Arena, Pages, Seen

LIVE = "live"
"""The ``--pages`` argument that means pages of this machine."""
_BLOCK_PAGES = 256


class PagesFileError(TmemError):
    """A file of pages cannot be read, is malformed, or holds too few distinct pages."""


class NotEnoughPages(EnvironmentLacks):
    """This machine has fewer distinct pages than were asked for."""


class PageSource(Protocol):
    """Where a bench gets its pages.  Use it as a context manager; the pages stay valid after it."""

    @property
    def file_pages(self) -> Pages:
        """File pages collected so far, uint8[n, 4096]."""

    @property
    def anon_pages(self) -> Pages:
        """Anonymous pages collected so far, uint8[n, 4096]."""

    def need(self, files: int, anonymous: int) -> None:
        """Collect until there are at least so many of each kind.

        Raises PagesFileError or NotEnoughPages, with what to do, if there are not.
        """

    def describe(self) -> dict[str, object]:
        """Return where the pages came from and what was passed over, for the result document."""

    def __enter__(self) -> Self:
        """Start collecting."""

    def __exit__(self, *_: object) -> None:
        """Stop every process that was started."""


class LivePages:
    """Pages of this machine.  ``file_capacity`` and ``anon_capacity``: the most that will be asked for, in pages."""

    def __init__(self, file_capacity: int, anon_capacity: int, *, seed: int = 1) -> None:
        self._seen = Seen()
        self._files = Arena(file_capacity, self._seen)
        self._anonymous = AnonymousPages(Arena(anon_capacity, self._seen), anon_capacity)
        self._blocks = filepages.blocks(np.random.default_rng(seed))

    @property
    def file_pages(self) -> Pages:
        """File pages collected so far, uint8[n, 4096]."""
        return self._files.pages

    @property
    def anon_pages(self) -> Pages:
        """Anonymous pages collected so far, uint8[n, 4096]."""
        return self._anonymous.arena.pages

    def need(self, files: int, anonymous: int) -> None:
        """Collect until there are at least so many of each kind; raises NotEnoughPages."""
        more_anonymous = self._anonymous.collect(anonymous, wait=False)
        more_files = True
        # In turns: the processes work on while files are read.
        while True:
            want_files = more_files and self._files.count < files
            want_anonymous = more_anonymous and self._anonymous.arena.count < anonymous
            if not want_files and not want_anonymous:
                break
            if want_files:
                step = min(files, self._files.count + _BLOCK_PAGES)
                more_files = filepages.collect(self._blocks, self._files, step) >= step
            if want_anonymous:
                more_anonymous = self._anonymous.collect(anonymous, wait=not want_files)
        for kind, wanted, got in (
            ("file", files, self._files.count),
            ("anonymous", anonymous, self._anonymous.arena.count),
        ):
            if got < wanted:
                message = (
                    f"this machine gave {got} distinct {kind} pages and {wanted} are needed to fill the region; "
                    "take a smaller --region, or bring pages with --pages FILE.npy"
                )
                raise NotEnoughPages(message)

    def describe(self) -> dict[str, object]:
        """Return where the pages came from and what was passed over."""
        return {
            "source": LIVE,
            "file_pages": self._files.count,
            "anon_pages": self._anonymous.arena.count,
            "anon_origins": dict(self._anonymous.origins),
            "same_filled": self._seen.same_filled,
            "repeated": self._seen.repeated,
            "notes": list(self._anonymous.notes),
        }

    def __enter__(self) -> Self:
        """Start the processes whose memory is taken."""
        self._anonymous.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill them."""
        self._anonymous.close()


class FilePages:
    """The pages of a ``.npy`` file, uint8[n, 4096]; file pages are taken from one end, anonymous ones from the other.

    ``capacity`` is the most distinct pages that will be asked for.  Raises PagesFileError.
    """

    def __init__(self, path: str | os.PathLike[str], capacity: int, *, seed: int = 1) -> None:
        self._path = Path(path)
        self._seen = Seen()
        content = load_npy(self._path)
        self._arena = Arena(min(capacity, len(content)), self._seen)
        for start in range(0, len(content), _BLOCK_PAGES):
            if self._arena.room == 0:
                break
            self._arena.add(np.ascontiguousarray(content[start : start + _BLOCK_PAGES]))
        np.random.default_rng(seed).shuffle(self._arena.pages)
        self._files = 0
        self._anonymous = 0

    @property
    def file_pages(self) -> Pages:
        """Pages taken as file pages, uint8[n, 4096]."""
        return self._arena.pages[: self._files]

    @property
    def anon_pages(self) -> Pages:
        """Pages taken as anonymous pages, uint8[n, 4096]."""
        return self._arena.pages[self._arena.count - self._anonymous :]

    def need(self, files: int, anonymous: int) -> None:
        """Set so many pages apart for each kind; raises PagesFileError."""
        files, anonymous = max(files, self._files), max(anonymous, self._anonymous)
        if files + anonymous > self._arena.count:
            message = (
                f"{self._path} holds {self._arena.count} distinct pages that are not same-filled, and {files} file "
                f"pages and {anonymous} anonymous pages are needed; take a smaller --region or a file with more pages"
            )
            raise PagesFileError(message)
        self._files, self._anonymous = files, anonymous

    def describe(self) -> dict[str, object]:
        """Return where the pages came from and what was passed over."""
        return {
            "source": str(self._path),
            "file_pages": self._files,
            "anon_pages": self._anonymous,
            "same_filled": self._seen.same_filled,
            "repeated": self._seen.repeated,
            "notes": [],
        }

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to stop."""


def load_npy(path: Path) -> Pages:
    """Map a ``.npy`` file of pages; returns uint8[n, 4096].  Nothing in the file is executed.

    Raises PagesFileError that names what is wrong with the file.
    """
    advice = "save pages with numpy.save as an array of dtype uint8 and shape (n, 4096)"
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if magic != b"\x93NUMPY":
            message = f"{path} is not a .npy file; {advice}"
            raise PagesFileError(message)
        content = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise PagesFileError(message) from error
    except (ValueError, EOFError) as error:
        message = f"{path} is damaged or not an array of pages ({error}); {advice}"
        raise PagesFileError(message) from error
    if content.dtype != np.uint8:
        message = f"{path} has dtype {content.dtype}; {advice}"
        raise PagesFileError(message)
    if content.shape[1:] != (PAGE,):
        message = f"{path} has shape {content.shape}; {advice}"
        raise PagesFileError(message)
    pages: Pages = content
    return pages


def open_pages(source: str | os.PathLike[str], file_capacity: int, anon_capacity: int, *, seed: int = 1) -> PageSource:
    """Return the pages that ``--pages`` names: ``"live"``, or the path of a ``.npy`` file.  Raises PagesFileError."""
    if source == LIVE:
        return LivePages(file_capacity, anon_capacity, seed=seed)
    return FilePages(source, file_capacity + anon_capacity, seed=seed)


def gather(min_files: int, min_anonymous: int, *, seed: int = 1) -> tuple[Pages, Pages]:
    """Return file pages and anonymous pages of this machine, uint8[n, 4096] each, all of them different.

    At least ``min_files`` and ``min_anonymous`` of them, or NotEnoughPages.
    """
    with LivePages(min_files, min_anonymous, seed=seed) as pages:
        pages.need(min_files, min_anonymous)
        return pages.file_pages, pages.anon_pages
