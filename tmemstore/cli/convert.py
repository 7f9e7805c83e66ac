"""``tmemstore convert``: a trace of tmemstore from what others record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tmemstore.cli import output, results
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_format, checked, one_of
from tmemstore.trace.readers.column_map import KINDS, ColumnMap, parse_delimiter
from tmemstore.units import parse_pages

_DESCRIPTION = """\
Make a trace for replay and tune of what was recorded elsewhere. The kind of
input is found out from its content, zstd and gzip are unpacked on the way, and
what makes no sense is refused by line or record and byte."""
_EPILOG = f"""\
kinds:
  own            a trace of tmemstore: checked and copied
  recorded       page-cache and swap events as arrays, *.tr
  tracefs        mm_filemap_add_to_page_cache and ..._delete_from_page_cache:
                 an add is a get, a delete of a clean page a put
  csv, text      columns, see --columns; requests, or events by their names
  msr, spc       block traces: MSR-Cambridge CSV, SPC
  oracleGeneral  libCacheSim's records of 24 bytes
  references     page numbers, a NumPy array uint32[n] or uint64[n]

  The last four hold requests, csv and text as well unless a column named op
  holds operations such as put_page. A tmem store sees only what a page cache
  evicts, so requests go through a model of one: --page-cache SIZE, an LRU. With
  none each request, a write as well, is a get and, on a miss, a put.

columns:
  time[:ns|us|ms|s], object, op, index, pool, size by their number, from 1. The
  size of a request is in bytes. An op of read or write makes requests. A first
  line of names is passed over.

examples:
  tmemstore convert pages.tr.zst pages.trace
  tmemstore convert web_2.csv.gz web_2.trace --page-cache 1GiB
  tmemstore convert io.txt io.trace --columns time=2:ms,index=5 --page-cache 1G
  tmemstore convert cache.oracleGeneral.zst cache.trace --page-cache none

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``convert`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        usage="tmemstore convert IN OUT [options]",
        help="a trace from what others record",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("input", type=Path, metavar="IN", help="what was recorded")
    add("output", type=Path, metavar="OUT", help="the trace, a file that is not there yet")
    add("--from", dest="kind", type=one_of(*KINDS), metavar="KIND", help="what IN is, if it cannot be found out")
    add("--columns", type=checked(ColumnMap.parse), metavar="MAP", help="of csv and text, such as time=2:ms,object=5")
    add(
        "--delimiter",
        type=checked(parse_delimiter),
        metavar="CHAR",
        help="of csv and text: a character, or comma, tab, semicolon, pipe, blank (default: found out)",
    )
    add("--page-cache", type=checked(_page_cache), metavar="SIZE|none", help="the model that requests go through")
    add("--force", action="store_true", help="replace OUT if it is there")
    add_format(add)
    add("-q", "--quiet", action="store_true", help="no progress, no remarks")
    parser.set_defaults(run=run)


def _page_cache(text: str) -> int:
    """Pages; 0 for none."""
    return 0 if text == "none" else parse_pages(text, "a page cache")


def run(options: argparse.Namespace) -> int:
    """Convert and report; returns 0."""
    if options.columns is None and (options.delimiter is not None or options.kind in {"csv", "text"}):
        raise UsageError("--delimiter and --from csv need --columns, for example --columns time=2,object=5")
    if options.columns is not None and options.kind not in {None, "csv", "text"}:
        raise UsageError(f"--columns is for csv and text, not for {options.kind}")
    if options.output.is_dir():
        raise UsageError(f"OUT {options.output} is a folder; name a file")
    if not options.force and (options.output.exists() or options.output.is_symlink()):
        raise UsageError(f"OUT {options.output} is there already; name another file, or replace it with --force")
    document = _converted(options)
    from tmemstore.report.trace import convert_table

    output.write(output.json_text(document) if options.format == "json" else convert_table(document))
    if not options.quiet:
        output.remark(f"wrote {options.output} ({document['output_bytes'] >> 10} KiB)")
        for what, count in document["skipped"].items():
            output.remark(f"passed over: {count} {what}")
    return 0


def _converted(options: argparse.Namespace) -> dict[str, Any]:
    from tmemstore.trace.convert import convert
    from tmemstore.trace.readers.opening import Wanted

    with output.progress(wanted=not options.quiet) as show:
        try:
            document = convert(
                options.input,
                options.output,
                wanted=Wanted(options.kind, options.columns, options.delimiter),
                page_cache_pages=options.page_cache,
                progress=show,
            )
            return document | {"output_bytes": options.output.stat().st_size}
        except OSError as error:
            raise results.not_writable(f"OUT {options.output}", error, "place") from error
