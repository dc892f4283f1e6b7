"""Examination of a configuration before a long training run: everything that is wrong, in one list."""
