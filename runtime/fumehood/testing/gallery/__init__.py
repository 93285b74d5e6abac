"""Hostile guests, one a class of attack, as WAT package data, and the one table about them.

`GALLERY` is the table; `contain(attack)` runs a row and says whether it ended as promised. Plugin
hosts may use it against themselves; here it drives tests/attacks, the demo and SECURITY.md.
"""

from fumehood.testing.gallery.attacks import HARMLESS, LIMITS, STUB, Attack, source
from fumehood.testing.gallery.table import DEMO, GALLERY, find

__all__ = ["DEMO", "GALLERY", "HARMLESS", "LIMITS", "STUB", "Attack", "find", "source"]
