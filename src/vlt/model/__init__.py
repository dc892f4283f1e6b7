"""The network, one file per box of the paper's figure (docs/model.md). Independent of data sets and text."""
