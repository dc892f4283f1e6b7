"""Scenes pasted from photos whose things are outlined, so that only the words decide who is meant.

Made once and kept, for `vlt prepare scenes`, or anew in each epoch.
"""
