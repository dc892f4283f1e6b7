"""Reader of PhraseCut's files: a phrase per task with the boxes and polygons of all its instances, a file per split.

refer_<split>.json:
[{"task_id": "2410753__1_2", "image_id": 2410753, "phrase": "black horses", "phrase_structure": {"name": "horses", ...},
  "instance_boxes": [[x, y, width, height], ...], "Polygons": [[[[x, y], ...], ...], ...], ...}, ...]

image_data_split3000.json:
[{"image_id": 2410753, "width": 640, "height": 480, "split": "train", ...}, ...]

Source: https://github.com/ChenyunWu/PhraseCutDataset
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import NonNegativeInt, PositiveInt, TypeAdapter

from vlt.categories import COCO_CATEGORIES
from vlt.data.prepared import split_names
from vlt.errors import DataError
from vlt.files import JsonObject, read_json
from vlt.prepare.instances import OUTCOME, XYWH, Annotation, Category, InstanceFile, Photo
from vlt.prepare.own.annotated import plain_noun
from vlt.prepare.published.refer import check_images, prepare_refer_set
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.prepare.published.refer_set import NO_IMAGE, NO_OUTLINE, OTHER_FILE, ReferReader, ReferSet
from vlt.prepare.report import Counts, DefectKind, PrepareReport
from vlt.prepare.splits import check_name, choose_files
from vlt.types import NO_CATEGORY

IMAGE_DATA = ("image_data_split3000.json", "image_data_split.json")
"""Names of the file with the sizes and splits of the images; the first that exists is read."""

VISUAL_GENOME_FOLDERS = ("VG_100K", "VG_100K_2")
"""Folders into which Visual Genome's images are split; PhraseCut's own script downloads all into one."""

EXPECTED: Mapping[str, Counts] = {
    "train": Counts(310816, 71746, 310816),
    "val": Counts(20316, 2971, 20316),
    "test": Counts(14354, 2545, 14354),
    "miniv": Counts(821, 100, 821),
}
"""Published counts by split; those of val include miniv, whose phrases are in a file of their own."""

REPEATED_TASK = DefectKind("repeated task_id", "ref_id", "all but the first left out")
UNEVEN = DefectKind("boxes and polygons of different numbers", "ref_id", OUTCOME)


class PhraseStructure(JsonObject):
    """Parts of a phrase, of which the name of the category is used."""

    name: str = ""


class Task(JsonObject):
    """A phrase about an image and the instances to which it refers."""

    task_id: str | int
    image_id: NonNegativeInt
    phrase: str
    phrase_structure: PhraseStructure | None = None
    instance_boxes: list[XYWH]
    Polygons: list[Any]

    @property
    def noun(self) -> str:
        """Name of the category; empty where it is unknown."""
        return plain_noun(self.phrase_structure.name) if self.phrase_structure else ""


class ImageData(JsonObject):
    """Size of an image in pixels, and its split."""

    image_id: NonNegativeInt
    width: PositiveInt
    height: PositiveInt
    split: str


class NumberedTask(NamedTuple):
    """A task of a file.

    Attributes:
        number: its number, counted from 0 through all files that are read.
        split: split of its file.
        task: the task.
    """

    number: int
    split: str
    task: Task


def read_phrasecut(folder: Path, images: Path, splits: Collection[str] = ()) -> ReferSet:
    """Read the tasks of a folder; each is a ref with one sentence and one or several targets.

    Only the headers of images are read; where none of the images exists, they are not checked.

    Args:
        folder: the folder with the file of each split and with the sizes of the images.
        images: the folder of the images, `<image_id>.jpg` in it or in one of `VISUAL_GENOME_FOLDERS` below it.
        splits: splits to read, keys of `EXPECTED`; empty: all that exist.

    Raises:
        DataError: a file is missing or not of the format; no such split.
    """
    files = choose_files({split: folder / f"refer_{split}.json" for split in EXPECTED}, splits, "PhraseCut")
    remedy = "a refer_<split>.json of PhraseCut is needed; refer_input_<split>.json has no outlines"
    found = {split: read_json(path, TypeAdapter(list[Task]), remedy) for split, path in files.items()}
    image_data = read_json(
        find_image_data(folder), TypeAdapter(list[ImageData]), "PhraseCut's list of images is needed"
    )
    listed = itertools.chain.from_iterable(zip(itertools.repeat(split), tasks) for split, tasks in found.items())
    tasks = [NumberedTask(number, split, task) for number, (split, task) in enumerate(listed)]
    nouns = {each.task.noun for each in tasks} - {"", *COCO_CATEGORIES}
    categories = {noun: number for number, noun in enumerate([*COCO_CATEGORIES, *sorted(nouns)])}
    annotations: list[Annotation] = []
    refs = [convert_task(each, categories, annotations) for each in tasks]
    used = {each.task.image_id for each in tasks}
    instances = InstanceFile(
        images=[find_photo(each, images) for each in image_data if each.image_id in used],
        annotations=annotations,
        categories=[Category(id=number, name=noun) for noun, number in categories.items()],
    )
    reader = ReferReader("phrasecut", instances, images, own_categories=True)
    usable = usable_refs(reader, zip(tasks, refs, strict=True), {each.image_id: each.split for each in image_data})
    names = list(files)
    read = reader.read(usable, names, belongs)
    notes = list(read.notes)
    if "val" in names and "miniv" not in names:
        notes.append("val lacks the images of miniv, which the published val includes; they are in refer_miniv.json.")
    return read._replace(expected={name: EXPECTED[name] for name in names}, notes=notes)


def find_image_data(folder: Path) -> Path:
    """Find the file with the sizes of the images.

    Raises:
        DataError: there is none.
    """
    for name in IMAGE_DATA:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"There is no {folder / IMAGE_DATA[0]}; download it, the sizes of the images are in it.")


def find_photo(image: ImageData, images: Path) -> Photo:
    """Make the entry of an image, with the folder in which it lies; without one where it does not exist."""
    plain = f"{image.image_id}.jpg"
    names = (plain, *(f"{folder}/{plain}" for folder in VISUAL_GENOME_FOLDERS))
    name = next((name for name in names if (images / name).is_file()), plain)
    return Photo(id=image.image_id, file_name=name, height=image.height, width=image.width)


def convert_task(each: NumberedTask, categories: Mapping[str, int], annotations: list[Annotation]) -> Ref:
    """Convert a task to a ref.

    Args:
        each: the task.
        categories: noun -> number of its category.
        annotations: receives an annotation per instance; its id is its place there.
    """
    task = each.task
    first = len(annotations)
    annotations += [
        Annotation(id=number, image_id=task.image_id, bbox=box, segmentation=polygons)
        for number, (box, polygons) in enumerate(zip(task.instance_boxes, task.Polygons, strict=False), first)
    ]
    return Ref(
        ref_id=each.number,
        ann_id=list(range(first, len(annotations))),
        category_id=categories.get(task.noun, NO_CATEGORY),
        image_id=task.image_id,
        split=each.split,
        sentences=[RefSentence(sent_id=each.number, sent=task.phrase)],
    )


def usable_refs(
    reader: ReferReader, refs: Iterable[tuple[NumberedTask, Ref]], image_splits: Mapping[int, str]
) -> list[Ref]:
    """Leave out the refs whose task cannot be used, and report these and other defects of the files.

    Args:
        reader: receives the defects.
        refs: each task and its ref.
        image_splits: image_id -> split of the image.
    """
    usable = []
    seen: set[str | int] = set()
    for (number, split, task), ref in refs:
        example = f"task_id {task.task_id!r}"
        if task.task_id in seen:
            reader.defects.add(REPEATED_TASK, number, example=example)
        elif len(task.instance_boxes) != len(task.Polygons):
            reader.defects.add(UNEVEN, number, example=example)
        elif not task.Polygons:
            reader.defects.add(NO_OUTLINE, number, "the task has no instance", example)
        elif task.image_id not in image_splits:
            reader.defects.add(NO_IMAGE, number, example=example)
        else:
            usable.append(ref)
            if image_splits[task.image_id] != split:
                own = f"{image_splits[task.image_id]} in the list of images, not {split}"
                reader.defects.add(OTHER_FILE, number, example=f"{example}, {own}")
        seen.add(task.task_id)
    return usable


def belongs(name: str, split: str) -> bool:
    """Decide whether a ref of the file of split `name` belongs to `split`; those of miniv are in val, too.

    Example:
        >>> belongs("miniv", "val"), belongs("val", "miniv")
        (True, False)
    """
    return name == split or (name, split) == ("miniv", "val")


def prepare_phrasecut(
    data: Path,
    output_dir: Path,
    *,
    name: str,
    images: Path | None = None,
    splits: Sequence[str] = (),
    generate_mask: bool = False,
) -> PrepareReport:
    """Prepare PhraseCut: annotations, masks, and `prepare.json` with the report.

    Args:
        data: the folder of its files.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        images: the folder of the images; None: `images` below `data`, as PhraseCut's own script makes it.
        splits: splits to prepare; empty: all that exist.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `name` is no plain name.
        DataError: see `read_phrasecut`; `images` is no folder; no task that can be used; a folder or file cannot be
            written; the folder of that name holds a data set that was made in another way.
    """
    photos = data / "images" if images is None else images
    if images is not None:
        check_images(images)
    return prepare_refer_set(
        lambda: read_phrasecut(data, photos, splits),
        output_dir,
        check_name(name),
        source={"phrasecut": str(data), "splits": sorted(set(splits))},
        images=photos,
        of=str(data),
        generate_mask=generate_mask,
        replaced=split_names(output_dir, name),
    )
