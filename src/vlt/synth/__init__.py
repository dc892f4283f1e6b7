"""Synthetic training data: a grammar of expressions (words), composed images (scenes), drawn shapes (shapes)."""
