"""What packing costs in accuracy: the same photos and expressions, answered from a checkpoint and from its packed form.

python benchmarks/packing_error.py runs/coco_mini packed data/coco_mini/images/*.jpg

Errors are shares of the deviation of what is compared: the mean and the largest absolute difference. The masks'
agreement is the mean IoU of the two answers, at the photo's size, where not both are empty.
"""

import sys
from collections import defaultdict

import numpy as np
import torch

from vlt.checkpoint import load_checkpoint
from vlt.data.photo import read_image
from vlt.geometry import Letterbox

PHOTOS = 8
EXPRESSIONS = ("person", "dog on the left", "second red car from the right", "man in black next to the table", "food")


def main(exact, packed, *photos):
    one, other = load_checkpoint(exact), load_checkpoint(packed)
    differences, agreements = defaultdict(list), []
    for photo in photos[:: max(1, len(photos) // PHOTOS)][:PHOTOS]:
        pixels = read_image(photo)
        letterbox = Letterbox(pixels.shape[:2], one.config.model.input_size, one.config.model.antialias)
        for expression in EXPRESSIONS:
            answers = [states(checkpoint, letterbox.image(pixels)[None], expression) for checkpoint in (one, other)]
            for name, value in answers[0].items():
                differences[name].append(difference(value, answers[1][name]))
            masks = [letterbox.mask(answer["logits"][0], one.config.evaluate.threshold) for answer in answers]
            if (union := np.logical_or(*masks).sum()) > 0:
                agreements.append(np.logical_and(*masks).sum() / union)
    for name, pairs in differences.items():
        mean, largest = np.array(pairs).T
        print(f"{name:<16} mean {mean.mean():.4f}  largest {largest.max():.3f}  of the deviation")
    print(f"masks            agree to IoU {np.mean(agreements):.4f} over {len(agreements)} answers")


@torch.inference_mode()
def states(checkpoint, image, expression):
    """What is compared, by name."""
    words = checkpoint.text(expression).values[None]
    features = checkpoint.model.encode(image)
    answer = checkpoint.model.answer(features, words, torch.ones(words.shape[:2], dtype=torch.bool))
    maps = {f"backbone map {level}": one for level, one in enumerate(checkpoint.model.backbone(image))}
    return maps | {"word features": answer.text.words, "logits": answer.logits}


def difference(one, other):
    """Mean and largest absolute difference, as shares of the deviation of `one`."""
    apart = (one - other).abs() / one.std()
    return apart.mean().item(), apart.max().item()


if __name__ == "__main__":
    main(*sys.argv[1:])
