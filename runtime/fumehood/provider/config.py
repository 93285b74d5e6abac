"""The config that a plugin gets with every call: merged, pruned, checked (provider-abi.md §4.4).

The operator's config, then what one call overrides; `system` in the shape that the plugin's
schema takes; pruned to the keys of the schema; checked by the schema. Keys that the host or
QueryMT's builders know and the schema does not vanish silently, as they do in QueryMT. Any other
unknown key is a typo: an error in a call, a warning in a file.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from fumehood.errors import ConfigError
from fumehood.provider.plain import plain
from fumehood.provider.schema import Problem, Schema

COMMON_KEYS: Final = frozenset(
    {
        "allowed_hosts", "api_key", "base_url", "embedding_dimensions",
        "embedding_encoding_format", "enable_parallel_tool_use", "json_schema", "max_tokens",
        "model", "provider", "reasoning_budget_tokens", "reasoning_effort", "stream", "system",
        "temperature", "timeout_seconds", "tool_choice", "top_k", "top_p", "validator_attempts",
    }
)  # fmt: skip

log = logging.getLogger("fumehood.provider")

Config = dict[str, Any]
HostCheck = Callable[[str], str | None]
"""What is wrong with a `base_url`, None for nothing."""


class Settings:
    """The config of one opened provider. Shared between threads; what it gives is not changed."""

    def __init__(
        self,
        schema: Schema,
        base: Mapping[str, object],
        *,
        secret: frozenset[str] = frozenset(),
        gen_a: bool = False,
        check_host: HostCheck | None = None,
        missing: Mapping[str, str] | None = None,
        plugin: str | None = None,
    ) -> None:
        """`base` is the operator's config with tokens for its secrets, whose keys are `secret`.
        `missing` has advice for required keys that are not there.

        Raises ConfigError for everything that is wrong with it, except for required keys that
        are missing: a call may still bring those, and listing models needs none of them.
        """
        self.schema = schema
        self.secret = secret
        self._base: Config = plain(base, "")
        self._gen_a = gen_a
        self._check_host = check_host
        self._missing = dict(missing or {})
        self._plugin = plugin
        self._complete: Config | None = None
        self._warn_unknown()
        problems = [p for p in self._problems(self._pruned(self._base)) if not _is_missing(p)]
        if problems:
            raise self._error(problems)

    def cfg(self, overrides: Mapping[str, object]) -> Config:
        """The config for one operation. Raises ConfigError listing every problem."""
        if not overrides and self._complete is not None:
            return self._complete
        cfg = self._pruned(self._merged(overrides))
        problems = self._problems(cfg)
        if problems:
            raise self._error(problems)
        if not overrides:
            self._complete = cfg
        return cfg

    def models_cfg(self) -> Config:
        """The config for listing models; what the schema requires may be missing."""
        return self._pruned(self._base)

    def timeout(self, overrides: Mapping[str, object]) -> float | None:
        """`timeout_seconds`, which we honour as the deadline of the operation (hazard 18)."""
        value = overrides.get("timeout_seconds", self._base.get("timeout_seconds"))
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            return None
        return float(value)

    def _merged(self, overrides: Mapping[str, object]) -> Config:
        overrides = {key: value for key, value in overrides.items() if value is not None}
        if not overrides:
            return self._base
        problems: list[Problem] = []
        for key in overrides:
            if key in self.secret or key in ("api_key", "allowed_hosts"):
                problems.append(
                    (key, "cannot be overridden by a call: it decides where keys may go")
                )
            elif not self._known(key):
                problems.append((key, self._advice(key)))
        if problems:
            raise self._error(problems)
        return {**self._base, **plain(overrides, "")}

    def _pruned(self, config: Mapping[str, Any]) -> Config:
        cfg = self.schema.prune(config)
        if cfg.get("system") in (None, "", []):
            cfg.pop("system", None)
        else:
            cfg["system"] = self._system(cfg["system"])
        return cfg

    def _system(self, system: Any) -> Any:
        """`system` as text or as a list, as the plugin takes it: a list unless it wants text."""
        texts = [system] if isinstance(system, str) else system
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return system
        joined = "\n\n".join(texts)
        shapes: list[Any] = [joined, texts] if self._gen_a else [texts, joined]
        return next((s for s in shapes if self.schema.accepts("system", s)), system)

    def _problems(self, cfg: Config) -> list[Problem]:
        problems = self.schema.problems(cfg, self.secret | {"api_key"})
        url = cfg.get("base_url")
        if isinstance(url, str) and self._check_host is not None:
            wrong = self._check_host(url)
            if wrong is not None:
                problems.append(("base_url", wrong))
        return problems

    def _known(self, key: str) -> bool:
        properties = self.schema.properties
        return properties is None or key in properties or key in COMMON_KEYS

    def _advice(self, key: str) -> str:
        near = difflib.get_close_matches(key, list(self.schema.properties or {}), 1, 0.5)
        return f"unknown key; did you mean {near[0]!r}?" if near else "unknown key"

    def _warn_unknown(self) -> None:
        for key in self._base:
            if not self._known(key):
                log.warning("%s: config.%s: %s", self._plugin, key, self._advice(key))

    def _error(self, problems: list[Problem]) -> ConfigError:
        hint = next((self._missing[key] for key, _ in problems if key in self._missing), None)
        listed = "; ".join(f"{key or 'config'}: {message}" for key, message in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        return ConfigError(
            f"the config does not fit the plugin: {listed}{more}",
            problems=problems,
            plugin=self._plugin,
            hint=hint,
        )


def _is_missing(problem: Problem) -> bool:
    return problem[1] == "is required" and "." not in problem[0] and "[" not in problem[0]
