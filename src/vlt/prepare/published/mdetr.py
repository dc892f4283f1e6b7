"""Reader of MDETR's annotation files of RefCOCO-like sets: COCO's format with an image per caption, a file per split.

{"images": [{"id": 0, "original_id": 9, "file_name": ..., "height": ..., "width": ..., "caption": "left dog",
             "dataset_name": "refcoco"}, ...],
 "annotations": [{"id": 0, "image_id": 0, "original_id": 77, "bbox": ..., "segmentation": ..., "category_id": 18}, ...],
 "categories": [{"id": 18, "name": "dog"}, ...]}

The published files have no segmentation: the outlines then come from an instance file, by `original_id`.
Source: https://github.com/ashkamath/mdetr
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter

from vlt.data.prepared import split_names
from vlt.errors import ConfigError, DataError
from vlt.files import JsonObject, read_json
from vlt.prepare.instances import OUTCOME, Annotation, Category, Id, InstanceFile, Photo, read_instance_file
from vlt.prepare.published.refer import EXPECTED, check_images, prepare_refer_set
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.prepare.published.refer_set import BOXES_ALONE, NO_OUTLINE, ReferReader, ReferSet
from vlt.prepare.report import DefectKind, PrepareReport
from vlt.prepare.splits import REFER_SPLITS, check_name

WAYS = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
"""Data set -> the way of splitting that MDETR's files have."""

NO_IMAGE = DefectKind("annotation of no image", "annotation id", OUTCOME)
REPEATED_CAPTION = DefectKind("image id of several captions", "image id", "left out with its annotations")
NO_ANNOTATION = DefectKind("caption without an annotation", "image id", OUTCOME)


class CaptionImage(Photo):
    """An image with one caption; the same image has an entry for each of its captions."""

    original_id: Id
    caption: str
    dataset_name: str = ""


class CaptionAnnotation(Annotation):
    """An object to which the caption of its image refers."""

    image_id: Id
    original_id: int
    category_id: int


class CaptionFile(JsonObject):
    """The captions of one split."""

    images: list[CaptionImage]
    annotations: list[CaptionAnnotation]
    categories: list[Category] = Field(default_factory=list)


class Caption(NamedTuple):
    """A caption with the objects to which it refers.

    Attributes:
        split: name of its split.
        image: the image.
        annotations: the objects, at least one.
    """

    split: str
    image: CaptionImage
    annotations: tuple[CaptionAnnotation, ...]

    @property
    def targets(self) -> tuple[int, ...]:
        """Ids of the objects in the original data set, ascending."""
        return tuple(sorted({each.original_id for each in self.annotations}))


AnyImage = TypeVar("AnyImage", bound=Photo)
AnyAnnotation = TypeVar("AnyAnnotation", bound=Annotation)
Fault: TypeAlias = tuple[DefectKind, Id]
"""A defect: its kind, and the id of the entry."""


def read_mdetr(files: Sequence[Path], images: Path, instances: Path | None = None, *, boxes: bool = False) -> ReferSet:
    """Read the files of a data set, one per split; captions that refer to the same objects are merged.

    The ref_id is the annotation's original_id; captions that refer to several objects get one above all of those. Only
    the headers of images are read; where none of the images exists, they are not checked.

    Args:
        files: paths of the files, each with the name of its split in its own, such as finetune_refcoco_val.json.
        images: the folder of the images.
        instances: instance file of COCO's format with the outlines of annotations that have none.
        boxes: use the boxes alone, and no outlines.

    Raises:
        DataError: a file is missing or not of the format; a file's name has no split, or that of another file; the
            files are of several data sets.
    """
    found = read_splits(files)
    dataset = one_data_set(found.values())
    faults: list[Fault] = []
    captions = [
        Caption(split, *joined)
        for split, file in found.items()
        for joined in join_captions(file.images, file.annotations, faults)
    ]
    annotations = original_annotations(captions, instances)
    entries = InstanceFile(
        images=list(dict.fromkeys(original_photo(caption.image) for caption in captions)),
        annotations=annotations,
        categories=list({each.id: each for file in found.values() for each in file.categories}.values()),
    )
    reader = ReferReader(dataset, entries, images, outlines=not boxes)
    for kind, which in faults:
        reader.defects.add(kind, which)
    outlined = {each.id for each in annotations if each.segmentation}
    remedy = (
        "give the instance file of the data set with --instances, or --boxes"
        if instances is None
        else f"nor has {instances}"
    )
    refs = []
    for ref in merge_captions(captions):
        if boxes or outlined.issuperset(ref.targets):
            refs.append(ref)
        else:
            reader.defects.add(NO_OUTLINE, ref.ref_id, f"the annotation has no segmentation, {remedy}")
    published = EXPECTED.get((dataset, WAYS.get(dataset, "")), {})
    expected = {split: counts for split, counts in published.items() if split in found}
    read = reader.read(refs, list(found))
    return read._replace(expected=expected, notes=[*read.notes, *[BOXES_ALONE] * boxes])


def read_splits(files: Iterable[Path]) -> dict[str, CaptionFile]:
    """Read files by the split in their names.

    Raises:
        DataError: a file is missing or not of the format; its name has no split, or that of another file.
    """
    paths: dict[str, Path] = {}
    for path in files:
        split = split_of(path)
        if split in paths:
            raise DataError(f"{paths[split]} and {path} are both of the split {split}; give one file per split.")
        paths[split] = path
    remedy = "a file of MDETR's format is needed, COCO's with an image per caption"
    return {split: read_json(path, TypeAdapter(CaptionFile), remedy) for split, path in paths.items()}


def split_of(path: Path) -> str:
    """Find the name of the split in that of a file, the last part that is one.

    Raises:
        DataError: there is none.

    Example:
        >>> split_of(Path("finetune_refcoco+_testA.json")), split_of(Path("finetune_refcoco_train_with_mask.json"))
        ('testA', 'train')
    """
    for part in reversed(path.stem.split("_")):
        if part in REFER_SPLITS:
            return part
    raise DataError(
        f"{path}: the name has no split; end it in one of {', '.join(f'_{split}' for split in REFER_SPLITS)}."
    )


def one_data_set(files: Iterable[CaptionFile]) -> str:
    """Find the name of the data set of all files; empty where they have none.

    Raises:
        DataError: they are of several.
    """
    names = sorted({image.dataset_name for file in files for image in file.images} - {""})
    if len(names) > 1:
        raise DataError(
            f"The files are of several data sets, {' and '.join(names)}; prepare each under a name of its own, because "
            "validation images of one are training images of another."
        )
    return "".join(names)


def join_captions(
    images: Sequence[AnyImage], annotations: Iterable[AnyAnnotation], faults: list[Fault]
) -> list[tuple[AnyImage, tuple[AnyAnnotation, ...]]]:
    """Join the captions of a file with their annotations, in the order of the file.

    Args:
        images: the captions, each an image.
        annotations: the annotations, each of an image.
        faults: receives the ids that several captions have, annotations of no image, and captions without one.
    """
    times = Counter(image.id for image in images)
    faults += [(REPEATED_CAPTION, each) for each, number in times.items() if number > 1]
    own: dict[Id, list[AnyAnnotation]] = {}
    for each in annotations:
        if each.image_id is not None and each.image_id in times:
            own.setdefault(each.image_id, []).append(each)
        else:
            faults.append((NO_IMAGE, each.id))
    once = [image for image in images if times[image.id] == 1]
    faults += [(NO_ANNOTATION, image.id) for image in once if image.id not in own]
    return [(image, tuple(own[image.id])) for image in once if image.id in own]


def original_photo(image: CaptionImage) -> Photo:
    """Make the image of the original data set, equal for all captions of it."""
    return Photo(id=image.original_id, file_name=image.file_name, height=image.height, width=image.width)


def original_annotations(captions: Iterable[Caption], instances: Path | None) -> list[Annotation]:
    """Make the annotations of the original data set: equal ones once, several of one id where they contradict.

    Args:
        captions: all captions.
        instances: instance file with the outlines of annotations that have none; None: there is none.

    Raises:
        DataError: the instance file is missing or not of COCO's format.
    """
    outlines: dict[tuple[Id | None, Id], object] = {}
    if instances is not None:
        for each in read_instance_file(instances, InstanceFile).annotations:
            outlines[each.image_id, each.id] = each.segmentation
    found: dict[int, list[Annotation]] = {}
    for caption in captions:
        image_id = caption.image.original_id
        for given in caption.annotations:
            outline = given.segmentation or outlines.get((image_id, given.original_id))
            annotation = Annotation(
                id=given.original_id,
                image_id=image_id,
                bbox=given.bbox,
                segmentation=outline,
                iscrowd=given.iscrowd,
            )
            known = found.setdefault(given.original_id, [])
            if annotation not in known:
                known.append(annotation)
    return [annotation for known in found.values() for annotation in known]


def merge_captions(captions: Iterable[Caption]) -> list[Ref]:
    """Merge the captions of a split that refer to the same objects of an image, in the order of the first of each."""
    groups: dict[tuple[str, Id, tuple[int, ...]], list[Caption]] = {}
    for caption in captions:
        groups.setdefault((caption.split, caption.image.original_id, caption.targets), []).append(caption)
    free_ids = itertools.count(1 + max((target for _, _, targets in groups for target in targets), default=0))
    sent_ids = itertools.count()
    return [
        Ref(
            ref_id=targets[0] if len(targets) == 1 else next(free_ids),
            ann_id=list(targets),
            category_id=members[0].annotations[0].category_id,
            image_id=image_id,
            split=split,
            sentences=[RefSentence(sent_id=next(sent_ids), sent=member.image.caption) for member in members],
        )
        for (split, image_id, targets), members in groups.items()
    ]


def prepare_mdetr(
    data: Sequence[Path],
    images: Path,
    output_dir: Path,
    *,
    name: str,
    instances: Path | None = None,
    boxes: bool = False,
    generate_mask: bool = False,
) -> PrepareReport:
    """Prepare the files of a data set: annotations, masks, and `prepare.json` with the report.

    Args:
        data: paths of the files, one per split.
        images: the folder of the images.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        instances: instance file of COCO's format with the outlines of annotations that have none.
        boxes: use the boxes alone, and no outlines.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `name` is no plain name; outlines are given, but not to be used.
        DataError: see `read_mdetr`; `images` is no folder; no caption that can be used; a folder or file cannot be
            written; the folder of that name holds a data set that was made in another way.
    """
    check_images(images)
    if boxes and instances is not None:
        raise ConfigError(
            f"With boxes alone, the outlines of {instances} are not read; leave --instances or --boxes out."
        )
    source: dict[str, object] = {"mdetr": [str(path) for path in data]}
    if instances is not None:
        source["instances"] = str(instances)
    if boxes:
        source["boxes"] = True
    return prepare_refer_set(
        lambda: read_mdetr(data, images, instances, boxes=boxes),
        output_dir,
        check_name(name),
        source=source,
        images=images,
        of=", ".join(map(str, data)),
        generate_mask=generate_mask,
        replaced=split_names(output_dir, name),
    )
