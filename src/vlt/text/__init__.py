"""Text: expressions to token ids or word vectors; cues, augmentation, language, spelling. No torch."""
