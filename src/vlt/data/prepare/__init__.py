"""Data sets of others to annotations that `vlt train` reads; nothing here is needed once a set is prepared."""
