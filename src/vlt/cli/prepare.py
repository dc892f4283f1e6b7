"""`vlt prepare`: data sets to annotations and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vlt.cli.shell import PATH, Shell, examples

output_dir_option = click.option(
    "--output-dir", type=PATH, required=True, help="Gets the folders anns/NAME/ and masks/NAME/ of the data set."
)
generate_mask_option = click.option(
    "--generate-mask", is_flag=True, help="Write masks as PNGs, not as run lengths in one file."
)
instances_option = click.option(
    "--instances", type=PATH, required=True, help="Annotation file of COCO's format, with masks or polygons."
)
images_option = click.option("--images", type=PATH, required=True, help="Folder with its photos.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Draws what is said and composed.")
val_share_option = click.option(
    "--val-share", type=click.FloatRange(0, 1), help="Share of the photos for validation.  [default: 0.15]"
)


@click.group(cls=Shell)
def prepare() -> None:
    """Turn a data set into annotations that `vlt train` reads."""


@prepare.command(
    epilog=examples("vlt prepare refer --data-root refer/data --output-dir data --dataset refcoco --split unc")
)
@click.option("--data-root", type=PATH, required=True, help="REFER's folder, with a folder per data set.")
@output_dir_option
@click.option("--dataset", type=click.Choice(["refcoco", "refcoco+", "refcocog", "refclef", "grefcoco"]), required=True)
@click.option(
    "--split", type=click.Choice(["unc", "umd", "google", "berkeley"]), required=True, help="Who split the data set."
)
@generate_mask_option
@click.option("--images", type=PATH, help="Folder with the photos.  [default: as REFER lays them out]")
def refer(
    data_root: Path, output_dir: Path, dataset: str, split: str, generate_mask: bool, images: Path | None
) -> None:
    """Prepare a REFER data set.

    Prints the counts beside the published ones and every defect met; prepare.json beside the annotations has them all.
    """
    from vlt.data.prepare.refer import prepare_refer

    report = prepare_refer(data_root, output_dir, dataset, split, generate_mask=generate_mask, images=images)
    click.echo(str(report))


@prepare.command(
    epilog=examples("vlt prepare coco --instances coco/instances.json --images coco/images --output-dir data")
)
@instances_option
@images_option
@output_dir_option
@click.option("--name", default="coco", show_default=True, help="Of the data set to be made.")
@seed_option
@val_share_option
@click.option("--per-target", type=click.IntRange(min=1), help="Wordings per object, where there are as many.")
@click.option(
    "--expressions",
    type=PATH,
    help="Sentences that people wrote, in place of drawn ones: a table of image_id, annotation_id and expression.",
)
@generate_mask_option
def coco(
    instances: Path,
    images: Path,
    output_dir: Path,
    name: str,
    seed: int,
    generate_mask: bool,
    **choices: Any,
) -> None:
    """Make a referring data set of any instance file of COCO's format.

    Each object that can be told from the others gets several expressions, such as "left dog" or "largest red cup".
    """
    from vlt.data.prepare.coco import prepare_coco

    given = {key: value for key, value in choices.items() if value is not None}
    report = prepare_coco(instances, images, output_dir, name=name, seed=seed, generate_mask=generate_mask, **given)
    click.echo(str(report))


@prepare.command(
    epilog=examples(
        "vlt prepare scenes --instances coco/instances.json --images coco/images --people fashion --output-dir data"
    )
)
@instances_option
@images_option
@click.option("--people", type=PATH, help="Street-fashion set: images/, labels/ and labels.json; a person each.")
@output_dir_option
@click.option("--name", default="scenes", show_default=True, help="Of the data set to be made.")
@click.option("--scenes", type=click.IntRange(min=0), help="Scenes composed of cutouts.  [default: 3000]")
@click.option("--crops", type=click.IntRange(min=0), help="Crops of each photo of the instance file.  [default: 2]")
@seed_option
@val_share_option
def scenes(instances: Path, images: Path, output_dir: Path, name: str, seed: int, **given: Any) -> None:
    """Make a training set in which words decide: photos, crops of them, scenes of several of a kind.

    Scenes are cut out and pasted together; photos for validation take no part. The photos go to images/NAME/.
    """
    from vlt.data.compose.prepare import prepare_scenes

    choices = {key: value for key, value in given.items() if value is not None}
    report = prepare_scenes(instances, images, output_dir, name=name, seed=seed, **choices)
    click.echo(str(report))
