"""``tmemstore report``: one page of results, with pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tmemstore.cli import output, results
from tmemstore.cli.usage import EXIT_CODES, UsageError

_DESCRIPTION = """\
Put results of benchmarks on one page: what matters in a sentence, pictures,
tables, the machine and the method. The page is one file that needs no network.
Pictures need matplotlib: pip install 'tmemstore[plot]'."""
_EPILOG = f"""\
files:
  RESULT is what bench eviction, deadline, ops or copy, or tune wrote. With
  --figures, DIR gets each picture as NAME.svg and NAME.png, its data as
  NAME.dat and NAME.gp, which draws them with gnuplot. Pictures of a second
  result of the same kind have its file's name before theirs.

examples:
  tmemstore report bench-results/eviction.json -o report.html
  tmemstore report eviction.json copy.json ops.json -o report.html
  tmemstore report eviction.json -o report.html --figures figures

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``report`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report",
        usage="tmemstore report RESULT... -o FILE [--figures DIR]",
        help="one page of results, with pictures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("results", nargs="+", metavar="RESULT", help="a result file of a benchmark")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the page, an HTML file")
    add("--figures", type=Path, metavar="DIR", help="also write each picture and its data here")
    add("-q", "--quiet", action="store_true", help="no remarks")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, draw and write; returns 0."""
    from tmemstore.report.page import report_page

    documents = list(zip(_names(options.results), map(_read, options.results), strict=True))
    page = report_page(documents)
    written = [options.output]
    try:
        results.write_whole(options.output, page)
    except OSError as error:
        raise results.not_writable(str(options.output), error, "place") from error
    if options.figures is not None:
        try:
            written += _figures(documents, options.figures)
        except OSError as error:
            raise results.not_writable(str(error.filename or options.figures), error, "place") from error
    if not options.quiet:
        output.remark(f"wrote {written[0]} ({options.output.stat().st_size >> 10} KiB)")
        if len(written) > 1:
            output.remark(f"wrote {len(written) - 1} files into {options.figures}")
    return 0


def _names(paths: list[str]) -> list[str]:
    """Return the names of the files, with the folder that tells two of the same name apart."""
    names = [Path(path).name for path in paths]
    return [
        name if names.count(name) == 1 else "/".join(Path(path).parts[-2:])
        for name, path in zip(names, paths, strict=True)
    ]


def _read(path: str) -> dict[str, Any]:
    """Read a result; it is checked as `compare` checks it, which names file and field and knows more kinds."""
    from tmemstore.report import figures, page
    from tmemstore.report.tables import plain

    try:
        schema = figures.read(path, page.SHOWN).schema
    except figures.ResultError as error:
        raise UsageError(plain(error)) from error
    if schema not in page.SHOWN_SCHEMAS:
        raise UsageError(f"{path} is of schema {schema!r}, which a page does not show; name {page.SHOWN}")
    document: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return document


def _prefix(file: str) -> str:
    return file.removesuffix(".json").replace("/", "-")


def _figures(documents: list[tuple[str, dict[str, Any]]], folder: Path) -> list[Path]:
    from dataclasses import replace

    from tmemstore.report.result_drawings import drawings_of

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    names: set[str] = set()
    for file, document in documents:
        for drawing in drawings_of(document):
            named = drawing if drawing.name not in names else replace(drawing, name=f"{_prefix(file)}-{drawing.name}")
            names.add(named.name)
            written += [*named.save(folder), *named.save_data(folder)]
    return written
