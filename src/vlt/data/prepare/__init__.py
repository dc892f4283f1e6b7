"""Data sets of others to annotations that `vlt train` reads."""
