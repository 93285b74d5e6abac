"""Log sinks of the Extism face (§3.6, §4.1)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fumehood.errors import HostError, UsageError
from fumehood.extism import logs, set_log_custom, set_log_file
from fumehood.extism.logs import parse_filter, plugin_log
from fumehood.imports.log import OFF, TRACE
from fumehood.limits import Limits
from fumehood.meter import Meter

OFF_LEVEL = logging.CRITICAL + 1


@pytest.fixture(autouse=True)
def _sink() -> Iterator[None]:
    yield
    if logs._sink is not None:
        logs.LOGGER.removeHandler(logs._sink)
        logs._sink.close()
    logs._sink = None
    logs.LOGGER.setLevel(OFF_LEVEL)
    logs.LOGGER.propagate = True


def say(level: int, text: str, plugin: str = "id") -> None:
    plugin_log(plugin).write(Meter(Limits()), level, text.encode())


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (None, logging.ERROR),
        ("error", logging.ERROR),
        ("warn", logging.WARNING),
        ("INFO", logging.INFO),
        ("debug", logging.DEBUG),
        ("trace", TRACE),
        ("off", OFF_LEVEL),
        ("extism=trace", TRACE),
        ("extism::pdk=info", logging.INFO),
        ("error,extism=debug", logging.DEBUG),
        ("extism::pdk=warn, extism=trace", logging.WARNING),
        ("other=trace", OFF_LEVEL),
        ("ext=trace,info", logging.INFO),
        ("extism", TRACE),
    ],
)
def test_filters(text: str | None, level: int) -> None:
    assert parse_filter(text) == level


@pytest.mark.parametrize("text", ["loud", "extism=loud", "=", ""])
def test_what_is_no_filter(text: str) -> None:
    if text == "":
        assert parse_filter(text) == logging.ERROR
        return
    with pytest.raises(UsageError, match="no log level"):
        parse_filter(text)


def test_off_until_a_sink_is_set() -> None:
    assert plugin_log("id").extism_level() == OFF
    lines: list[str] = []
    logger = set_log_custom(lines.append, "debug")
    assert plugin_log("id").extism_level() == 1
    logger.drain()
    assert lines == []


def test_lines_of_a_custom_logger() -> None:
    lines: list[str] = []
    logger = set_log_custom(lines.append, level="info")
    say(logging.INFO, "hello", "1234")
    say(logging.DEBUG, "not this")
    say(logging.ERROR, "two\nlines \x1b[31m")
    assert lines == []
    logger.drain()
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z  INFO extism::pdk: hello plugin="1234"\n', lines[0]
    )
    assert lines[1].endswith('ERROR extism::pdk: two\\nlines \\x1b[31m plugin="id"\n')
    logger.drain()
    assert len(lines) == 2
    others: list[str] = []
    logger.set_callback(others.append)
    say(logging.WARNING, "again")
    del logger
    assert len(others) == 1
    assert "  WARN " in others[0]


def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BUFFERED_LINES", 3)
    lines: list[str] = []
    logger = set_log_custom(lines.append, "trace")
    for i in range(5):
        say(TRACE, str(i))
    logger.drain()
    assert len(lines) == 4
    assert lines[-1] == "2 more lines were dropped: the buffer was full\n"
    monkeypatch.setattr(logs, "BUFFERED_LINES", 99)
    monkeypatch.setattr(logs, "BUFFERED_BYTES", 200)
    for _ in range(5):
        say(TRACE, "x" * 90)
    lines.clear()
    logger.drain()
    assert len(lines) == 2
    assert lines[-1].startswith("4 more lines")


def test_a_log_file_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "guest.log"
    file.write_text("before\n")
    set_log_file(str(file), "warn")
    say(logging.WARNING, "kept")
    say(logging.INFO, "not kept")
    content = file.read_text().splitlines()
    assert content[0] == "before"
    assert len(content) == 2
    assert 'WARN extism::pdk: kept plugin="id"' in content[1]


def test_a_later_call_replaces_sink_and_level(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    set_log_file(str(first), "trace")
    set_log_file(str(second))
    say(logging.ERROR, "to the second")
    say(logging.WARNING, "below its level")
    assert first.read_text() == ""
    assert second.read_text().count("\n") == 1


@pytest.mark.parametrize("name", ["stderr", "-", "stdout"])
def test_standard_streams(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_log_file(name, "info")
    say(logging.INFO, "seen")
    out, err = capsys.readouterr()
    assert "seen" in (out if name == "stdout" else err)
    assert "seen" not in (err if name == "stdout" else out)


@pytest.mark.parametrize("name", ["no/such/folder/log", ".", "a\0b"])
def test_a_file_that_cannot_be_opened(name: str) -> None:
    with pytest.raises(OSError, match="cannot be opened") as caught:
        set_log_file(name)
    assert isinstance(caught.value, HostError)
    assert caught.value.code == "host"


def test_no_logger_is_kept_for_a_plugin_that_is_gone() -> None:
    before = len(logging.Logger.manager.loggerDict)
    for i in range(50):
        plugin_log(f"id-{i}")
    assert len(logging.Logger.manager.loggerDict) <= before + 1
