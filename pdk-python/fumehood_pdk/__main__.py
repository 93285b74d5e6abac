"""`python -m fumehood_pdk build …`: the builder on the command line; `fumehood build` is the same."""

from __future__ import annotations

import sys

from fumehood_pdk._build.command import main

if __name__ == "__main__":
    sys.exit(main())
