"""Measure whether the image or the wording of an expression decides that nothing matches.

    python benchmarks/absent_control.py configs/default_choice.yaml --instances data/coco_mini/instances.json

People word what is not there differently from what is there, so that a model may recognise such expressions without
looking. Here the same expressions, written for something that is there, are predicted for their own image and for an
image of the split that has nothing of the category; so the wording is the same. Prints which share of them matches
nothing in the other image (N-acc) and something in their own (T-acc), beside the N-acc of those written for something
that is not there. Images without the category are those of the instance files in which it is labelled nowhere; files
may say with `labelled` in which images all categories are labelled (`full`), and others are not used.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from vlt.checkpoint.read import load_checkpoint
from vlt.config.reading import read_config
from vlt.data.referrals import image_key
from vlt.dataset import category_names, load_referrals
from vlt.infer.predictor import Predictor
from vlt.infer.torch_engine import torch_predictor
from vlt.types import Referral

PATH = click.Path(path_type=Path, exists=True)
OWN, OTHER, ABSENT = "written for it, its own image", "written for it, an image without it", "written as absent"


def labelled_categories(files: tuple[Path, ...]) -> dict[str, set[str]]:
    """Read the names of the categories in each completely labelled image, by file name."""
    found: dict[str, set[str]] = {}
    for file in files:
        instances = json.loads(file.read_bytes())
        names = {each["id"]: each["name"] for each in instances["categories"]}
        labels = defaultdict(set)
        for annotation in instances["annotations"]:
            labels[annotation["image_id"]].add(names[annotation["category_id"]])
        complete = (image for image in instances["images"] if image.get("labelled", "full") == "full")
        found |= {image["file_name"]: labels[image["id"]] for image in complete}
    return found


def expressions_by_image(
    referrals: list[Referral], names: tuple[str, ...], labels: dict[str, set[str]]
) -> dict[Path, list[tuple[str, str]]]:
    """Collect the expressions to predict for each image, each with its group; one other image per referral, drawn."""
    draw = np.random.default_rng(0)
    asked: dict[Path, list[tuple[str, str]]] = defaultdict(list)
    images = sorted({Path(str(image_key(each))) for each in referrals})
    pool, known = [image for image in images if image.name in labels], set().union(*labels.values())
    for referral in referrals:
        texts = [expression.text for expression in referral.expressions]
        category = names[referral.category] if referral.targets and 0 <= referral.category < len(names) else None
        own = Path(str(image_key(referral)))
        others = [image for image in pool if category not in labels[image.name]]
        if not referral.targets:
            asked[own] += [(text, ABSENT) for text in texts]
        elif category in known and others:
            asked[own] += [(text, OWN) for text in texts]
            asked[others[draw.integers(len(others))]] += [(text, OTHER) for text in texts]
    return asked


def shares(predictor: Predictor, asked: dict[Path, list[tuple[str, str]]]) -> dict[str, tuple[int, float]]:
    """Predict; the number of expressions of each group, and the share of them for which nothing matches."""
    empty = defaultdict(list)
    for image, pairs in tqdm(asked.items(), unit="image"):
        predictions = predictor.predict(image, [text for text, _ in pairs], warn=False)
        for prediction, (_, group) in zip(predictions, pairs, strict=True):
            empty[group].append(not prediction.matches)
    return {group: (len(found), float(np.mean(found))) for group, found in empty.items()}


@click.command(help=__doc__)
@click.argument("config", type=PATH)
@click.option("--checkpoint", type=PATH, help="[default: the model in the package]")
@click.option("--split", default="val_b", show_default=True)
@click.option("--instances", type=PATH, multiple=True, required=True, help="May be repeated.")
@click.option("--set", "assignments", metavar="A.B=VALUE", multiple=True, help="Change a key of CONFIG.")
def main(
    config: Path, checkpoint: Path | None, split: str, instances: tuple[Path, ...], assignments: tuple[str, ...]
) -> None:
    """Print a line per group."""
    run = read_config(config, assignments)
    loaded = load_checkpoint(checkpoint, refine=False)
    predictor = torch_predictor(loaded.model, loaded.text, loaded.config, masks=False)
    referrals = list(load_referrals(run.data, split))
    texts = expressions_by_image(referrals, category_names(run.data), labelled_categories(instances))
    for group, (count, share) in shares(predictor, texts).items():
        click.echo(
            f"{group}: {count} expressions, {100 * share:.1f} % match nothing, {100 - 100 * share:.1f} % something"
        )


if __name__ == "__main__":
    main()
