"""Results on stdout, receipts on stderr; every text escaped on its way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import IO, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fumehood.cli.options import Common
from fumehood.cli.text import escape
from fumehood.limits import Receipt

WIDTH: Final = 110
"""Columns of a table that goes to a file: a digest and its label fit."""


def write(text: str) -> None:
    """Text of a plugin on stdout, escaped, at once; no newline is added."""
    click.echo(escape(text), nl=False)


def write_line(text: str) -> None:
    """As `write`, with a newline."""
    click.echo(escape(text))


def write_json(value: Any) -> None:
    """A JSON document on stdout. ASCII only: every other character is escaped, so the text in it
    is exact and still harmless to a terminal."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, separators=(",", ":"))


def write_bytes(data: bytes) -> None:
    """Bytes on stdout: as they are into a pipe or file, escaped text on a terminal."""
    if sys.stdout.isatty():
        write_line(data.decode("utf-8", "replace"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def console(stream: IO[str]) -> Console:
    """A console whose tables keep their words where the stream is no terminal."""
    width = None if stream.isatty() else WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def table(rows: Iterable[tuple[str, str]], title: str | None = None) -> Table:
    """Two columns, names and values; the values are escaped here."""
    grid = Table(title=title, show_header=False, box=None, pad_edge=False, title_justify="left")
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), Text(escape(value)))
    return grid


def size(count: float) -> str:
    """Bytes for people: `1.5 MiB`."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def seconds(value: float) -> str:
    """A time for people: `12.3 ms`."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def receipt_rows(receipt: Receipt) -> list[tuple[str, str]]:
    """A receipt for people."""
    rows = [
        ("plugin", f"{receipt.plugin}  sha256 {receipt.sha256[:16]}…"),
        ("operation", f"{receipt.operation}{'' if not receipt.fresh else ', fresh instance'}"),
        ("wall", f"{seconds(receipt.wall)}, {seconds(receipt.guest_time)} in the guest"),
        ("fuel", f"{receipt.fuel:,}"),
        ("memory", f"{size(receipt.memory_peak)} at most"),
        ("host calls", f"{receipt.host_calls:,}"),
    ]
    if receipt.log_dropped:
        rows.append(("log", f"{receipt.log_dropped:,} lines dropped"))
    rows += [
        (
            "http",
            f"{e.method} {e.host}:{e.port} → {e.status or 'no reply'}, "
            f"{size(e.sent)} sent, {size(e.received)} received, {seconds(e.wall)}",
        )
        for e in receipt.http
    ]
    return rows


def finish(common: Common, receipt: Receipt | None) -> None:
    """The receipt on stderr, where `--receipt` asked for it and `--json` has not shown it."""
    if common.receipt and receipt is not None and not common.json:
        console(sys.stderr).print(table(receipt_rows(receipt)))


def with_receipt(common: Common, document: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
    """`document`, with the receipt where it was asked for."""
    return document | {"receipt": receipt.to_dict()} if common.receipt else document
