"""Measure the error of packing: compare a checkpoint with its packed form on the same images and expressions.

python benchmarks/packing_error.py runs/coco_mini packed data/coco_mini/images/*.jpg

Prints the mean and the largest absolute difference of feature maps, word features and logits, divided by the standard
deviation of the exact values; and the mean IoU of the two masks at the image's size, where not both are empty.
"""

import sys
from collections import defaultdict

import numpy as np
import torch

from vlt.checkpoint import load_checkpoint
from vlt.data.image import read_image
from vlt.geometry import Letterbox

IMAGES = 8
EXPRESSIONS = ("person", "dog on the left", "second red car from the right", "man in black next to the table", "food")


def main(exact, packed, *images):
    """Compare the two checkpoints and print a line per quantity."""
    one, other = load_checkpoint(exact, refine=False), load_checkpoint(packed, refine=False)
    differences, agreements = defaultdict(list), []
    for path in images[:: max(1, len(images) // IMAGES)][:IMAGES]:
        image = read_image(path)
        letterbox = Letterbox(image.shape[:2], one.config.input_size, one.config.model.antialias)
        pixels = torch.from_numpy(letterbox.image(image))[None]
        for expression in EXPRESSIONS:
            states, packed_states = (run(checkpoint, pixels, expression) for checkpoint in (one, other))
            for name, value in states.items():
                apart = (value - packed_states[name]).abs() / value.std()
                differences[name].append((apart.mean().item(), apart.max().item()))
            masks = [
                letterbox.mask(each["logits"][0].numpy(), one.config.inference.threshold)
                for each in (states, packed_states)
            ]
            if (union := np.logical_or(*masks).sum()) > 0:
                agreements.append(np.logical_and(*masks).sum() / union)
    for name, pairs in differences.items():
        mean, largest = np.array(pairs).T
        print(f"{name:<16} mean {mean.mean():.4f}  largest {largest.max():.3f}  standard deviations")
    print(f"masks            IoU {np.mean(agreements):.4f}, mean of {len(agreements)} predictions")


@torch.inference_mode()
def run(checkpoint, pixels, expression):
    """Run the network on pixels (1, 3, H, W); return the values to compare, by name."""
    words = torch.from_numpy(checkpoint.text(expression).values)[None]
    model = checkpoint.model
    output = model.segment(model.encode(pixels), words, torch.ones(words.shape[:2], dtype=torch.bool))
    maps = {f"backbone map {level}": each for level, each in enumerate(model.backbone(pixels))}
    return maps | {"word features": output.text.words, "logits": output.logits}


if __name__ == "__main__":
    main(*sys.argv[1:])
