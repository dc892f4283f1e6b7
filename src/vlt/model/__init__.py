"""The network, box by box as in the paper's figure. Nothing here reads a file of data or a sentence."""
