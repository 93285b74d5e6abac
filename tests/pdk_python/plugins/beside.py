"""Lies beside the plugin that imports it."""

NUMBER = 7
