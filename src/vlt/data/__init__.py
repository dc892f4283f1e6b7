"""From files and sentences to batches. Nothing here knows the network."""
