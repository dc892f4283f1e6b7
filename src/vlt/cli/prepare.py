"""`vlt prepare`: make annotations and masks of instance files, one's own expressions and published sets; shards."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlt.cli.prepare_options import data_argument, generate_mask_option, images_option, name_option, output_dir_option
from vlt.cli.prepare_published import PUBLISHED
from vlt.cli.shell import PATH, Shell, examples, set_option

if TYPE_CHECKING:
    from vlt.config.data import DataConfig
    from vlt.prepare.own.record_set import Form

instances_option = click.option(
    "--instances", type=PATH, required=True, help="Instance file of COCO's format, with polygons or run lengths."
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the random choices: expressions, scenes."
)
val_share_option = click.option(
    "--val-share", type=click.FloatRange(0, 1), help="Share of the images for validation.  [default: 0.15]"
)
several_option = click.option(
    "--several",
    type=click.FloatRange(0, 1),
    help='Share of the referrals to all objects of a kind, such as "both red cups".  [default: 0]',
)
absent_option = click.option(
    "--absent",
    type=click.FloatRange(0, 1),
    help="Share of the referrals that nothing in the image matches.  [default: 0]",
)


def record_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and options of the commands that make a referring data set from people's own files.

    Args:
        command: function of the command.
    """
    options = (
        data_argument,
        click.option(
            "--images", type=PATH, multiple=True, required=True, help="Folder of the images; may be repeated."
        ),
        click.option(
            "--instances",
            type=PATH,
            multiple=True,
            help="Instance file of COCO's format with outlines and the other objects of the images; may be repeated.",
        ),
        output_dir_option,
        name_option,
        val_share_option,
        generate_mask_option,
    )
    for option in reversed(options):  # the last one that is added is the first in the help
        command = option(command)
    return command


@click.group(cls=Shell)
def prepare() -> None:
    """Prepare a data set for `vlt train` and `vlt test`."""


for published in PUBLISHED:
    prepare.add_command(published)


@prepare.command(
    epilog=examples(
        "vlt prepare coco --instances coco/instances.json --images coco/images --output-dir data",
        "vlt prepare coco --instances my.json --images photos --output-dir data --name my --expressions-key caption",
    )
)
@instances_option
@images_option
@output_dir_option
@click.option("--name", default="coco", show_default=True, help="Name of the new data set.")
@seed_option
@val_share_option
@click.option(
    "--per-target", type=click.IntRange(min=1), help="Largest number of expressions per object.  [default: 4]"
)
@several_option
@absent_option
@click.option(
    "--expressions",
    type=PATH,
    help="Expressions that people wrote, instead of generated ones: a table of image_id, annotation_id and expression.",
)
@click.option(
    "--expressions-key",
    metavar="KEY",
    help="Key of the annotations that has such expressions, a text or a list of texts, such as caption.",
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
    """Make a referring data set from an instance file of COCO's format.

    Each object for which there are unambiguous expressions gets several, such as "left dog" or "largest red cup".
    """
    from vlt.prepare.coco import prepare_coco

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
@click.option("--people", type=PATH, help="Fashion data set: images/, labels/ and labels.json, one person per image.")
@output_dir_option
@click.option("--name", default="scenes", show_default=True, help="Name of the new data set.")
@click.option("--scenes", type=click.IntRange(min=0), help="Number of scenes composed of cutouts.  [default: 3000]")
@click.option(
    "--crops", type=click.IntRange(min=0), help="Number of crops of each image of the instance file.  [default: 2]"
)
@seed_option
@val_share_option
@several_option
@absent_option
def scenes(instances: Path, images: Path, output_dir: Path, name: str, seed: int, **given: Any) -> None:
    """Make a training set with copy-paste augmentation: images, crops of them, and composed scenes.

    Most scenes show several objects of one category, so that the category alone does not identify the target.
    Nothing is cut from images for validation. All images are written to images/NAME/.
    """
    from vlt.prepare.scenes import prepare_scenes

    choices = {key: value for key, value in given.items() if value is not None}
    report = prepare_scenes(instances, images, output_dir, name=name, seed=seed, **choices)
    click.echo(str(report))


@prepare.command(
    epilog="\n".join(
        [
            examples("vlt prepare lines my.jsonl --images photos --output-dir data --name my"),
            "\n\b\nLines of my.jsonl:",
            '  {"image": "7.jpg", "expressions": ["left cup", "the cup with tea"], "polygon": [[9, 9, 60, 9, 60, 50]]}',
            '  {"image": "7.jpg", "expression": "red plate", "box": [80, 20, 120, 50]}',
            '  {"image": "7.jpg", "expression": "a spoon", "absent": true}',
        ]
    )
)
@record_options
def lines(data: tuple[Path, ...], **given: Any) -> None:
    """Make a referring data set from JSON lines: an image, expressions and an outline per line.

    The keys are image; expressions (a list) or expression; one of polygon, rle, mask (a PNG), box, annotation (an id in
    an instance file) and absent (true); and where known image_id, id, category and size. See docs/data.md.
    """
    echo_prepared("lines", data, given)


@prepare.command(
    "label-studio",
    epilog=examples("vlt prepare label-studio export.json --images photos --output-dir data --name my"),
)
@record_options
def label_studio(data: tuple[Path, ...], **given: Any) -> None:
    """Make a referring data set from a JSON export of Label Studio: rectangles, polygons and brush masks.

    Expressions are the texts of a region (a TextArea with perRegion="true"), or else its labels.
    """
    echo_prepared("label-studio", data, given)


@prepare.command(
    epilog=examples("vlt prepare cvat annotations.xml --images photos --output-dir data --name my"),
)
@record_options
def cvat(data: tuple[Path, ...], **given: Any) -> None:
    """Make a referring data set from an export "CVAT for images 1.1": rectangles, polygons and masks.

    Expressions are the text attributes of a region that are called expression, caption or description, or else its
    label.
    """
    echo_prepared("cvat", data, given)


@prepare.command(
    "shards",
    epilog=examples("vlt prepare shards configs/swin_refcoco.yaml --output-dir shards --shards 64 --split testA"),
)
@click.argument("config", type=PATH)
@set_option
@click.option("--output-dir", type=PATH, required=True, help="Folder in which the folder NAME is made.")
@click.option("--name", help="Name of the data set.  [default: as in CONFIG]")
@click.option("--shards", type=click.IntRange(1, 99_999), required=True, help="Number of files per split.")
@click.option("--split", "splits", multiple=True, help="Split to write beside the two of CONFIG; may be repeated.")
def prepare_shards_command(
    config: Path, assignments: tuple[str, ...], output_dir: Path, name: str | None, shards: int, splits: tuple[str, ...]
) -> None:
    """Write the data of a configuration, with their photos, as Parquet shards.

    The training split has what `vlt train CONFIG` trains on: with data.mixed_with, and without what data.hold_out
    leaves out. Shards are read from a disk or a URL while training (data: {name: shards}).
    """
    from vlt.config.data import ReferDataConfig, dataset_name
    from vlt.config.reading import read_config
    from vlt.dataset import category_names, load_referrals
    from vlt.errors import ConfigError
    from vlt.prepare.shards import write_shards
    from vlt.prepare.splits import check_name

    data = read_config(config, assignments).data
    if isinstance(data, ReferDataConfig) and data.compose is not None:
        raise ConfigError("data.compose makes new scenes in each epoch, which shards cannot hold; set it to null.")
    name = dataset_name(data) if name is None else check_name(name)
    read = {split: load_referrals(data, split) for split in dict.fromkeys((data.train_split, data.val_split, *splits))}
    click.echo(str(write_shards(output_dir, name, read, shards=shards, categories=category_names(data))))
    click.echo(f"To train on them: --set {shlex.quote(f'data={data_of_shards(data, output_dir, name)}')}")


def data_of_shards(data: DataConfig, root: Path, dataset: str) -> str:
    """Make the section `data` for shards, as YAML in one line, with the augmentation and splits of another.

    Args:
        data: the section that the shards were made of.
        root: the folder in which the folder `dataset` lies.
        dataset: name of the shards.
    """
    import yaml

    from vlt.config.data import ShardsDataConfig

    kept = ShardsDataConfig.model_fields.keys() - {"name", "root", "dataset"}
    changed = data.model_dump(mode="json", include=kept, exclude_defaults=True)
    section = {"name": "shards", "root": str(root), "dataset": dataset, **changed}
    return yaml.safe_dump(section, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf).strip()


def echo_prepared(form: Form, data: tuple[Path, ...], given: dict[str, Any]) -> None:
    """Prepare files of one form and print the report.

    Args:
        form: form of the files.
        data: the files.
        given: the options; None where one has its default.
    """
    from vlt.prepare.own.record_set import prepare_records

    choices = {key: value for key, value in given.items() if value is not None}
    images, output_dir = choices.pop("images"), choices.pop("output_dir")
    click.echo(str(prepare_records(data, images, output_dir, form=form, **choices)))
