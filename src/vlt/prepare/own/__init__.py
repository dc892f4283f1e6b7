"""Readers of expressions about people's own images: JSON lines, exports of annotation tools, instance files."""
