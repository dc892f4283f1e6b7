"""`vlt prepare` for published data sets: a command per set or form of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vlt.cli.prepare_options import data_argument, generate_mask_option, images_option, name_option, output_dir_option
from vlt.cli.shell import DATA_SET, PATH, Command, examples

split_option = click.option(
    "--split", "splits", multiple=True, help="Split to prepare; may be repeated.  [default: all]"
)


@click.command(
    cls=Command,
    epilog=examples("vlt prepare refer --data-root refer/data --output-dir data --dataset refcoco --split unc"),
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
    from vlt.prepare.published.refer import prepare_refer

    report = prepare_refer(data_root, output_dir, dataset, split, generate_mask=generate_mask, images=images)
    click.echo(str(report))


@click.command(
    cls=Command,
    epilog=examples("vlt prepare seqtr instances.json --images train2014 --output-dir data --name refcoco_seqtr"),
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
    from vlt.prepare.published.seqtr import prepare_seqtr

    click.echo(str(prepare_seqtr(data, images, output_dir, name=name, generate_mask=generate_mask)))


@click.command(
    cls=Command,
    epilog=examples(
        "vlt prepare mdetr finetune_refcoco_train.json finetune_refcoco_val.json --images train2014 \\\n"
        "    --instances refcoco/instances.json --output-dir data --name refcoco_mdetr"
    ),
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
    from vlt.prepare.published.mdetr import prepare_mdetr

    click.echo(str(prepare_mdetr(data, images, output_dir, **given)))


@click.command(
    cls=Command,
    epilog=examples(
        "vlt prepare finecops expression_pos_val_set_coco_format.json --images gqa/images --output-dir data \\\n"
        "    --name finecops"
    ),
)
@data_argument
@images_option
@output_dir_option
@name_option
def finecops(data: tuple[Path, ...], images: Path, output_dir: Path, name: str) -> None:
    """Prepare FineCops-Ref, whose targets are boxes, from its files in COCO's format.

    The name of each file has that of its split. Negative captions are expressions that nothing in the image matches.
    """
    from vlt.prepare.published.finecops import prepare_finecops

    click.echo(str(prepare_finecops(data, images, output_dir, name=name)))


@click.command(cls=Command, epilog=examples("vlt prepare refcocom RefCOCOm --images train2014 --output-dir data"))
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
    from vlt.prepare.published.refcocom import prepare_refcocom

    click.echo(str(prepare_refcocom(data, images, output_dir, **given)))


@click.command(
    cls=Command,
    epilog=examples(
        "vlt prepare video ref-davis --output-dir data --name ref-davis17 --split valid",
        "vlt prepare video mevis --output-dir data --name mevis --split train --every 5",
    ),
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
    from vlt.prepare.published.video import prepare_video

    click.echo(str(prepare_video(data, output_dir, **given)))


@click.command(
    cls=Command,
    epilog=examples(
        "vlt prepare phrasecut VGPhraseCut_v0 --output-dir data",
        "vlt prepare phrasecut VGPhraseCut_v0 --images visual_genome --output-dir data --split val --split miniv",
    ),
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
    from vlt.prepare.published.phrasecut import prepare_phrasecut

    click.echo(str(prepare_phrasecut(data, output_dir, **given)))


@click.command(
    cls=Command,
    epilog=examples(
        "vlt prepare parquet refcoco/data --images coco/train2014 --output-dir data --name refcoco",
        "vlt prepare parquet hf://datasets/moondream/refcoco-m --output-dir data --name refcoco-m --split val",
    ),
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
    from vlt.prepare.published.parquet import prepare_parquet

    click.echo(str(prepare_parquet(data, **given)))


PUBLISHED = (refer, seqtr, mdetr, parquet, finecops, refcocom, phrasecut, video)
"""The commands, in the order of docs/data.md."""
