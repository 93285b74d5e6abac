"""Log text from a guest: escaped, within the operation's budget, to `logging`.

Lines go to the logger `fumehood.plugin.<name>`. Control characters, line breaks and anything that
a terminal or a log viewer could take for structure are escaped, so that no line can be forged
(extism-abi.md §3.6, §6 row 7).
"""

from __future__ import annotations

import functools
import logging
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fumehood.meter import Meter

TRACE: Final = 5
"""Python has no level below DEBUG; guests have one."""
OFF: Final = 0x7FFFFFFF
"""What `get_log_level` answers where nothing would be logged."""

EXTISM_LEVELS: Final = (TRACE, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
"""By `get_log_level` number: trace 0 … error 4."""
QMT_LEVELS: Final = {
    1: logging.ERROR,
    2: logging.WARNING,
    3: logging.INFO,
    4: logging.DEBUG,
}
"""By `qmt_log` number; anything else is trace (provider-abi.md §2.1)."""

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape(text: str) -> str:
    """`text` with control, bidirectional and invisible characters as visible escapes."""
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


@functools.lru_cache(maxsize=256)
def _logger(name: str) -> logging.Logger:
    """The logger of a plugin; looking it up anew costs as much as a tenth of an instance."""
    child = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "plugin"
    return logging.getLogger(f"fumehood.plugin.{child}")


class PluginLog:
    """The log of one plugin. `name` is the operator's name for it, never the guest's."""

    __slots__ = ("logger", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.logger = _logger(name)

    def write(self, meter: Meter, level: int, data: bytes, target: str | None = None) -> None:
        """Log one message of `data` bytes (UTF-8, or an error line that says it is not)."""
        if not self.logger.isEnabledFor(level):
            return
        room = meter.log_budget(len(data))
        if room < 0:
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            self.logger.log(logging.ERROR, "a log message of %d bytes is not UTF-8", len(data))
            return
        if room < len(data):
            text = data[:room].decode("utf-8", "ignore") + "…"
        message = escape(text)
        if target is not None:
            self.logger.log(level, "[%s] %s", escape(target[:128]), message)
        else:
            self.logger.log(level, "%s", message)

    def extism_level(self) -> int:
        """The level that `get_log_level` reports: PDKs log what is at or above it."""
        for number, level in enumerate(EXTISM_LEVELS):
            if self.logger.isEnabledFor(level):
                return number
        return OFF

    def qmt_level(self) -> int:
        """The level that `init_logging` takes: 0 off, 1 error … 5 trace (provider-abi.md §1.1)."""
        number = self.extism_level()
        return 0 if number == OFF else 5 - number
