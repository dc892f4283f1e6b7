"""Data sets of others to annotations that `vlt train` reads; a run needs it where it composes scenes of its own."""
