"""`vlt prepare`: make annotations and masks from published data sets, instance files and exports of tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlt.cli.shell import DATA_SET, PATH, Shell, examples, set_option

if TYPE_CHECKING:
    from vlt.prepare.record_set import Form

output_dir_option = click.option(
    "--output-dir", type=PATH, required=True, help="Folder in which anns/NAME/ and masks/NAME/ are written."
)
generate_mask_option = click.option(
    "--generate-mask", is_flag=True, help="Write masks as PNGs instead of run lengths in one file."
)
instances_option = click.option(
    "--instances", type=PATH, required=True, help="Instance file of COCO's format, with polygons or run lengths."
)
images_option = click.option("--images", type=PATH, required=True, help="Folder of its images.")
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the random choices: expressions, scenes."
)
val_share_option = click.option(
    "--val-share", type=click.FloatRange(0, 1), help="Share of the images for validation.  [default: 0.15]"
)
data_argument = click.argument("data", type=PATH, nargs=-1, required=True)
split_option = click.option(
    "--split", "splits", multiple=True, help="Split to prepare; may be repeated.  [default: all]"
)
name_option = click.option("--name", required=True, help="Name of the new data set.")


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


@prepare.command(
    epilog=examples("vlt prepare refer --data-root refer/data --output-dir data --dataset refcoco --split unc")
)
@click.option("--data-root", type=PATH, required=True, help="REFER folder, with a folder per data set.")
@output_dir_option
@click.option(
    "--dataset",
    type=click.Choice(["refcoco", "refcoco+", "refcocog", "refclef", "grefcoco", "ref-zom", "arefcoco"]),
    required=True,
)
@click.option(
    "--split",
    type=click.Choice(["unc", "umd", "google", "berkeley", "final"]),
    required=True,
    help="Which of the published splits, named after its authors.",
)
@generate_mask_option
@click.option("--images", type=PATH, help="Folder of the images.  [default: as in REFER's layout]")
def refer(
    data_root: Path, output_dir: Path, dataset: str, split: str, generate_mask: bool, images: Path | None
) -> None:
    """Prepare RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO, Ref-ZOM or aRefCOCO, in REFER's layout.

    Prints the counts beside the published ones, and every defect; prepare.json beside the annotations lists them all.
    """
    from vlt.prepare.refer import prepare_refer

    report = prepare_refer(data_root, output_dir, dataset, split, generate_mask=generate_mask, images=images)
    click.echo(str(report))


@prepare.command(
    epilog=examples("vlt prepare seqtr instances.json --images train2014 --output-dir data --name refcoco_seqtr")
)
@click.argument("data", type=PATH)
@images_option
@output_dir_option
@name_option
@generate_mask_option
def seqtr(data: Path, images: Path, output_dir: Path, name: str, generate_mask: bool) -> None:
    """Prepare an annotation file of SeqTR and its successors: one JSON object of splits, each a list of entries.

    Splits keep their names. Prints the counts beside the published ones where the set can be recognised by the names of
    its folder or splits, and every defect.
    """
    from vlt.prepare.seqtr import prepare_seqtr

    click.echo(str(prepare_seqtr(data, images, output_dir, name=name, generate_mask=generate_mask)))


@prepare.command(
    epilog=examples(
        "vlt prepare mdetr finetune_refcoco_train.json finetune_refcoco_val.json --images train2014 \\\n"
        "    --instances refcoco/instances.json --output-dir data --name refcoco_mdetr"
    )
)
@data_argument
@images_option
@click.option("--instances", type=PATH, help="Instance file of COCO's format with the outlines, where DATA has none.")
@click.option("--boxes", is_flag=True, help="Use the boxes alone, for box accuracy, and no outlines.")
@output_dir_option
@name_option
@generate_mask_option
def mdetr(data: tuple[Path, ...], images: Path, output_dir: Path, **given: Any) -> None:
    """Prepare MDETR's annotation files of RefCOCO, RefCOCO+ or RefCOCOg, one file per split.

    The name of each file ends in that of its split (_train, _val, _testA, ...). Prints the counts beside the published
    ones, and every defect.
    """
    from vlt.prepare.mdetr import prepare_mdetr

    click.echo(str(prepare_mdetr(data, images, output_dir, **given)))


@prepare.command(
    epilog=examples(
        "vlt prepare finecops expression_pos_val_set_coco_format.json --images gqa/images --output-dir data \\\n"
        "    --name finecops"
    )
)
@data_argument
@images_option
@output_dir_option
@name_option
def finecops(data: tuple[Path, ...], images: Path, output_dir: Path, name: str) -> None:
    """Prepare FineCops-Ref, whose targets are boxes, from its files in COCO's format.

    The name of each file has that of its split. Negative captions are expressions that nothing in the image matches.
    """
    from vlt.prepare.finecops import prepare_finecops

    click.echo(str(prepare_finecops(data, images, output_dir, name=name)))


@prepare.command(epilog=examples("vlt prepare refcocom RefCOCOm --images train2014 --output-dir data"))
@click.argument("data", type=PATH)
@images_option
@output_dir_option
@click.option("--name", default="refcocom", show_default=True, help="Name of the new data set.")
@split_option
@generate_mask_option
def refcocom(data: Path, images: Path, output_dir: Path, **given: Any) -> None:
    """Prepare RefCOCOm, expressions about parts, from the folder with its annotations/ and masks/.

    The splits are val, testA and testB, each as part_only (parts) and object_part (parts and objects).
    """
    from vlt.prepare.refcocom import prepare_refcocom

    click.echo(str(prepare_refcocom(data, images, output_dir, **given)))


@prepare.command(
    epilog=examples(
        "vlt prepare video ref-davis --output-dir data --name ref-davis17 --split valid",
        "vlt prepare video mevis --output-dir data --name mevis --split train --every 5",
    )
)
@click.argument("data", type=PATH)
@output_dir_option
@name_option
@click.option("--split", "splits", multiple=True, help="May be repeated.  [default: all whose masks are public]")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Take each Nth frame.")
@generate_mask_option
def video(data: Path, output_dir: Path, **given: Any) -> None:
    """Prepare Ref-YouTube-VOS, Ref-DAVIS17 or MeViS frame by frame, recognised by the files in the folder DATA.

    An expression about an object that is not in a frame has no target there. `vlt test --protocol video` reports J and
    F; its predictions are of single frames, without tracking.
    """
    from vlt.prepare.video import prepare_video

    click.echo(str(prepare_video(data, output_dir, **given)))


@prepare.command(
    epilog=examples(
        "vlt prepare phrasecut VGPhraseCut_v0 --output-dir data",
        "vlt prepare phrasecut VGPhraseCut_v0 --images visual_genome --output-dir data --split val --split miniv",
    )
)
@click.argument("data", type=PATH)
@click.option("--images", type=PATH, help="Folder of Visual Genome's images.  [default: DATA/images]")
@output_dir_option
@click.option("--name", default="phrasecut", show_default=True, help="Name of the new data set.")
@split_option
@generate_mask_option
def phrasecut(data: Path, output_dir: Path, **given: Any) -> None:
    """Prepare PhraseCut from the folder with its refer_<split>.json and the list of images.

    A phrase may have several targets. Prints the counts beside the published ones, and every defect.
    """
    from vlt.prepare.phrasecut import prepare_phrasecut

    click.echo(str(prepare_phrasecut(data, output_dir, **given)))


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
    epilog=examples(
        "vlt prepare parquet refcoco/data --images coco/train2014 --output-dir data --name refcoco",
        "vlt prepare parquet hf://datasets/moondream/refcoco-m --output-dir data --name refcoco-m --split val",
    )
)
@click.argument("data", type=DATA_SET, nargs=-1, required=True)
@output_dir_option
@name_option
@click.option("--images", type=PATH, help="Folder of the images, where the files hold none.")
@split_option
@generate_mask_option
def parquet(data: tuple[Path | str, ...], **given: Any) -> None:
    """Prepare a referring set from the Parquet files, or folders of them, of a Hugging Face data set.

    A name hf://datasets/OWNER/NAME, or hf://datasets/OWNER/NAME@REVISION, is downloaded first; only the files of the
    chosen splits are.
    The layouts of jxu124/refcoco, jxu124/refcoco-benchmark, lmms-lab/RefCOCO, moondream/refcoco-m, JierunChen/Ref-L4
    and dddraxxx/ref-adv-s are recognised; targets of the last two are boxes.
    Pictures in the files are written to images/NAME/.
    """
    from vlt.prepare.parquet import prepare_parquet

    click.echo(str(prepare_parquet(data, **given)))


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

    data = read_config(config, assignments).data
    if isinstance(data, ReferDataConfig) and data.compose is not None:
        raise ConfigError("data.compose makes new scenes in each epoch, which shards cannot hold; set it to null.")
    name = name or dataset_name(data)
    read = {split: load_referrals(data, split) for split in dict.fromkeys((data.train_split, data.val_split, *splits))}
    click.echo(str(write_shards(output_dir, name, read, shards=shards, categories=category_names(data))))
    click.echo(f"To train on them: --set 'data={{name: shards, root: {output_dir}, dataset: {name}}}'")


def echo_prepared(form: Form, data: tuple[Path, ...], given: dict[str, Any]) -> None:
    """Prepare files of one form and print the report.

    Args:
        form: form of the files.
        data: the files.
        given: the options; None where one has its default.
    """
    from vlt.prepare.record_set import prepare_records

    choices = {key: value for key, value in given.items() if value is not None}
    images, output_dir = choices.pop("images"), choices.pop("output_dir")
    click.echo(str(prepare_records(data, images, output_dir, form=form, **choices)))
