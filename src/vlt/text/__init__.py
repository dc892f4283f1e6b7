"""Text: expressions to token ids or word vectors; cues, augmentation and spelling of expressions. No torch."""
