"""Log text of guests: levels, escaping, budget."""

from __future__ import annotations

import logging

import pytest

from fumehood.engine import HostCall
from fumehood.imports import PluginLog, Services, env, qmt
from fumehood.imports.log import OFF, escape
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.imports.hosting import functions, within

F = functions([*env.imports(), *qmt.imports()])
LOGGER = "fumehood.plugin.acme"


@pytest.fixture
def services() -> Services:
    return Services(log=PluginLog("acme"))


@pytest.mark.parametrize(
    ("name", "level"),
    [("log_trace", 5), ("log_debug", 10), ("log_info", 20), ("log_warn", 30), ("log_error", 40)],
)
def test_levels(
    name: str, level: int, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(1, LOGGER):
        within(lambda call: F[name](call, call.write(b"hello")), services)
    assert [(r.name, r.levelno, r.getMessage()) for r in caplog.records] == [
        (LOGGER, level, "hello")
    ]


@pytest.mark.parametrize(
    ("level", "number"),
    [(1, 0), (5, 0), (10, 1), (20, 2), (30, 3), (40, 4), (41, OFF), (50, OFF)],
)
def test_get_log_level_follows_the_logger(
    level: int, number: int, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level, LOGGER):
        assert services.log.extism_level() == number
        assert services.log.qmt_level() == (0 if number == OFF else 5 - number)
        got: list[int] = []
        within(lambda call: got.append(F["get_log_level"](call)), services)
    assert got == [number]


def test_text_cannot_forge_lines_or_move_a_terminal(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    text = "a\nERROR root: forged\r\x1b[2Jb\x00\u202eevil\u2028c\x7f\x85\xad\ufff9\U000e0041"
    with caplog.at_level(1, LOGGER):
        within(lambda call: F["log_info"](call, call.write(text.encode())), services)
    message = caplog.records[0].getMessage()
    assert all(ch.isprintable() for ch in message)
    assert "\\n" in message
    assert "\\x1b" in message


def test_a_percent_sign_is_no_format(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1, LOGGER):
        within(lambda call: F["log_info"](call, call.write(b"%s %d 100%")), services)
    assert caplog.records[0].getMessage() == "%s %d 100%"


def test_text_that_is_not_utf8_is_an_error_line(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(1, LOGGER):
        within(lambda call: F["log_info"](call, call.write(b"\xff\xfe")), services)
    assert caplog.records[0].levelno == logging.ERROR
    assert "not UTF-8" in caplog.records[0].getMessage()


@pytest.mark.parametrize("lines", [3, 4])
def test_log_lines_at_the_limit_and_beyond(
    lines: int, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    def script(call: HostCall) -> None:
        for _ in range(lines):
            F["log_info"](call, call.write(b"x"))

    with caplog.at_level(1, LOGGER):
        meter = within(script, services, Meter(Limits(log_lines=3)))
    assert len(caplog.records) == 3
    assert meter.receipt().log_dropped == lines - 3


@pytest.mark.parametrize(("size", "dropped"), [(10, 0), (11, 1), (5000, 1)])
def test_log_bytes_at_the_limit_and_beyond(
    size: int, dropped: int, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(1, LOGGER):
        meter = within(
            lambda call: F["log_info"](call, call.write(b"x" * size)),
            services,
            Meter(Limits(log_bytes=10)),
        )
    assert meter.receipt().log_dropped == dropped
    assert caplog.records[0].getMessage() == "x" * 10 + ("…" if dropped else "")


def test_a_level_that_is_off_reads_nothing(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, LOGGER):
        within(lambda call: F["log_info"](call, 12345), services)  # no such handle, ignored
    assert caplog.records == []


@pytest.mark.parametrize(
    ("number", "level"), [(1, 40), (2, 30), (3, 20), (4, 10), (5, 5), (0, 5), (99, 5)]
)
def test_qmt_log(
    number: int, level: int, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    record = b'{"level":%d,"target":"a::b\\nc","message":"hi"}' % number
    with caplog.at_level(1, LOGGER):
        within(lambda call: F["qmt_log"](call, call.write(record)), services)
    assert (caplog.records[0].levelno, caplog.records[0].getMessage()) == (level, "[a::b\\nc] hi")


def test_a_plugins_name_cannot_choose_another_logger() -> None:
    assert PluginLog("../../x.root\n").logger.name == "fumehood.plugin.______x_root_"


def test_escape_keeps_ordinary_text() -> None:
    text = "Grüße, 世界 🌍 – “quoted” \\ %"
    assert escape(text) == text
