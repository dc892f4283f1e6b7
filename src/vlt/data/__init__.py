"""Data: images, masks, prepared data sets, training samples and batches. Independent of the network."""
