"""Readers of published data sets, a file or a few for each form in which they are distributed."""
