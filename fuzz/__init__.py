"""Fuzzing: `python -m fuzz` (`make fuzz`, `make fuzz-long`).

Each target makes cases, JSON values all of them, and checks one property. What a check raises is
a finding; its case becomes a file in `corpus/`, and `tests/fuzz/test_corpus.py` runs that for ever.
"""
