"""Deprecated package: its modules moved to `vlt.prepare` in version 0.2 and disappear in version 0.3."""
