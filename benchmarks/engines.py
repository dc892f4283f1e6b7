"""Compare the masks of ONNX Runtime and PyTorch on the images of a split.

    python benchmarks/engines.py configs/default_choice.yaml --split val_b --images 30 --set 'data.mixed_with=[]'

Both engines predict every expression about some images, spread over the split, with one predictor each and the settings
of the checkpoint. Printed are the mean IoU of a mask with that of the other engine, the share of masks that agree to
0.9, the mIoU of both with the ground truth, and the seconds of both, with one thread each, in turns.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
import torch

from vlt.config.reading import read_config
from vlt.data.masks import read_targets
from vlt.data.referrals import without_blanks
from vlt.dataset import load_referrals
from vlt.evaluate.evaluation import ImageGroups
from vlt.infer.loading import load
from vlt.types import Mask

ENGINES = ("onnx", "torch")


def overlap(one: Mask, other: Mask) -> float:
    """Compute the IoU of two masks; 1 for two empty ones."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path, exists=True))
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), help="None: the model in the package.")
@click.option("--split", default="val_b", show_default=True)
@click.option("--images", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--set", "assignments", multiple=True)
def main(config: Path, checkpoint: Path | None, split: str, images: int, assignments: tuple[str, ...]) -> None:
    """Print the comparison."""
    torch.set_num_threads(1)
    referrals, _ = without_blanks(load_referrals(read_config(config, assignments).data, split))
    groups = ImageGroups(referrals, range(sum(len(referral.expressions) for referral in referrals)))
    predictors = {name: load(checkpoint, engine=name, threads=1, correct_spelling=False) for name in ENGINES}
    seconds: dict[str, float] = defaultdict(float)
    scores: dict[str, list[float]] = defaultdict(list)
    agreed: list[float] = []
    for place in np.linspace(0, len(groups) - 1, min(images, len(groups))).astype(int):
        group = groups[place]
        texts = [expression.text for _, expression in group.expressions]
        masks = {}
        for name, predictor in predictors.items():
            began = time.perf_counter()
            masks[name] = [each.mask for each in predictor.predict(group.image, texts, warn=False)]
            seconds[name] += time.perf_counter() - began
        agreed += [overlap(*pair) for pair in zip(*masks.values(), strict=True)]
        targets = [read_targets(referral.targets, group.image.shape[:2]) for referral, _ in group.expressions]
        for name, found in masks.items():
            scores[name] += [overlap(*pair) for pair in zip(found, targets, strict=True)]
    print(f"{len(agreed)} expressions about {images} images of {split}")
    print(f"IoU between the engines: mean {np.mean(agreed):.4f}, {np.mean(np.array(agreed) >= 0.9):.2%} at least 0.9")
    for name in ENGINES:
        print(f"{name:6} mIoU {100 * np.mean(scores[name]):.2f}, {seconds[name]:.0f} s")


if __name__ == "__main__":
    main()
