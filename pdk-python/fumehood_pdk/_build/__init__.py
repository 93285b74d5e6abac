"""The builder: from a provider class to a plugin. Author's side only; nothing of it goes into a plugin."""

from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.plugin import Report, build

__all__ = ["BuildError", "Report", "build"]
