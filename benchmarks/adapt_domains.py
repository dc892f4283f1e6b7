"""Data to measure `vlt adapt` on two domains that the model in the package is weak at, and scores on their test part.

    python benchmarks/adapt_domains.py garments ccp_mini out
    python benchmarks/adapt_domains.py regions datasets/natural.jsonl out
    vlt adapt out/garments-50.jsonl adapted --images ccp_mini/images
    python benchmarks/adapt_domains.py score out/garments-test.jsonl --images ccp_mini/images --checkpoint adapted

`garments` needs a street-fashion data set (`vlt.prepare.fashion`) and takes the photos that the model in the package
was not trained on; its expressions are generated, one per garment. `regions` takes the sky, walls, parts of things and
garments of the natural expressions: those of val_a to adapt, those of val_b as the test. Both write DOMAIN-50.jsonl
and DOMAIN-200.jsonl, with about that many expressions, and DOMAIN-test.jsonl about other images.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import click

from vlt.adapt.data import read_adapt_data
from vlt.categories import COCO_CATEGORIES
from vlt.checkpoint.read import load_checkpoint
from vlt.evaluate.evaluation import evaluate
from vlt.infer.torch_engine import torch_predictor
from vlt.prepare.fashion import read_fashion
from vlt.prepare.splits import is_validation, validation_half
from vlt.synth.scenes.referents import refer_to_garments

PATH = click.Path(path_type=Path, exists=True)
SIZES = (50, 200)
TEST_GARMENTS = 60
"""Number of fashion photos in the test part."""


@click.group()
def main() -> None:
    """Make data for adaptation, or score a checkpoint on a test part."""


@main.command()
@click.argument("root", type=PATH)
@click.argument("out", type=click.Path(path_type=Path))
def garments(root: Path, out: Path) -> None:
    """Write expressions about garments of the street-fashion data set ROOT."""
    rng = random.Random(0)
    photos = [photo for photo in read_fashion(root, 0) if is_validation(photo.id)]
    rng.shuffle(photos)
    by_photo = []
    for photo in photos:
        referrals = refer_to_garments(photo.read(), photo.photo, {}, rng)
        lines = [
            {"image": photo.name, "expression": rng.choice(each.expressions).text, "rle": each.targets[0]}
            for each in referrals
        ]
        by_photo.append(lines)
    write(out, "garments", by_photo[TEST_GARMENTS:], by_photo[:TEST_GARMENTS])


@main.command()
@click.argument("natural", type=PATH)
@click.argument("out", type=click.Path(path_type=Path))
def regions(natural: Path, out: Path) -> None:
    """Write expressions about regions outside COCO's categories of the validation photos of NATURAL."""
    halves: dict[str, dict[str, list[dict[str, Any]]]] = {"a": defaultdict(list), "b": defaultdict(list)}
    for text in natural.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        is_region = "rle" in line and line["category"] not in COCO_CATEGORIES
        if is_region and is_validation(line["image_id"]):
            halves[validation_half(Path(line["image"]))][line["image"]].append(line)
    photos = list(halves["a"].values())
    random.Random(0).shuffle(photos)
    write(out, "regions", photos, list(halves["b"].values()))


def write(out: Path, domain: str, photos: Sequence[list[Any]], test: Sequence[list[Any]]) -> None:
    """Write the test part, and lines of about 50 and 200 expressions: one per photo, then a second one, and so on."""
    out.mkdir(parents=True, exist_ok=True)
    parts = {"test": [line for lines in test for line in lines]}
    for size in SIZES:
        taken: list[Any] = []
        for line in chain.from_iterable(zip_longest(*photos)):
            if line and count_expressions(taken) < size:
                taken.append(line)
        parts[str(size)] = taken
    for name, lines in parts.items():
        path = out / f"{domain}-{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        images = len({line["image"] for line in lines})
        click.echo(f"{path}: {count_expressions(lines)} expressions about {images} images")


def count_expressions(lines: Sequence[dict[str, Any]]) -> int:
    """Count the expressions of lines."""
    return sum(len(line.get("expressions", (None,))) for line in lines)


@main.command()
@click.argument("test", type=PATH)
@click.option("--images", type=PATH, multiple=True)
@click.option("--checkpoint", type=PATH, help="None: the model in the package.")
def score(test: Path, images: tuple[Path, ...], checkpoint: Path | None) -> None:
    """Print the scores of a checkpoint on all expressions of TEST, predicted as by every command."""
    loaded = load_checkpoint(checkpoint)
    data = read_adapt_data(test, images)
    predictor = torch_predictor(loaded.model, loaded.text, loaded.config, loaded.refiner)
    click.echo(str(evaluate(predictor, [*data.train, *data.held_out], progress=True)))


if __name__ == "__main__":
    main()
