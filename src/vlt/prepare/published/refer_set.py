"""Convert REFER data sets to referrals: the splits, the targets of each ref, and the defects of the files."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from vlt.data.masks import join_boxes, read_segmentation, rle_area
from vlt.errors import DataError
from vlt.prepare.instances import (
    OUTCOME,
    Annotation,
    Id,
    InstanceFile,
    Missing,
    Photo,
    misfit,
    missing_images,
    read_instance_file,
)
from vlt.prepare.published.refer_files import Ref, read_refs
from vlt.prepare.report import Counts, DefectKind, Defects
from vlt.text.words import is_visible
from vlt.types import NO_CATEGORY, Expression, Referral, Target

SPLITS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "refcoco": {"unc": ("train", "val", "testA", "testB"), "google": ("train", "val", "test")},
    "refcoco+": {"unc": ("train", "val", "testA", "testB")},
    "refcocog": {"umd": ("train", "val", "test"), "google": ("train", "val")},
    "refclef": {"unc": ("train", "val", "testA", "testB", "testC"), "berkeley": ("train", "val", "test")},
    "grefcoco": {"unc": ("train", "val", "testA", "testB")},
    "ref-zom": {"final": ("train", "test")},
    "arefcoco": {"unc": ("train", "test")},
}
"""dataset -> way of splitting, named after its authors -> splits."""

SKIPPED_PHOTOS = {"refclef": frozenset({"19579.jpg", "17975.jpg", "19575.jpg"})}
"""Images that the original leaves out."""

COCO_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
"""COCO's 80 categories by their ids, which have gaps."""

MISSING_PHOTO = DefectKind("missing photo", "ref_id", OUTCOME)
SKIPPED_PHOTO = DefectKind("photo known to be unusable", "ref_id", OUTCOME)
MISSING_IMAGE = DefectKind("image not in instances.json", "ref_id", OUTCOME)
REPEATED_IMAGE = DefectKind("repeated image id", "image id", "its refs left out unless the entries are equal")
SHARED_FILE = DefectKind("photo of several image ids", "image id", "kept; check that its splits agree")
REPEATED_ANNOTATION = DefectKind("repeated annotation id", "annotation id", REPEATED_IMAGE.outcome)
AMBIGUOUS = DefectKind("image or annotation id of several entries", "ref_id", OUTCOME)
MISSING_ANNOTATION = DefectKind("missing annotation", "ref_id", OUTCOME)
OTHER_IMAGE = DefectKind("annotation of another photo", "ref_id", OUTCOME)
UNREADABLE_SEGMENTATION = DefectKind("unreadable segmentation", "ref_id", OUTCOME)
DEGENERATE_POLYGON = DefectKind("degenerate polygon", "ref_id", "kept without that polygon")
EMPTY_MASK = DefectKind("empty mask", "ref_id", "kept")
UNKNOWN_CATEGORY = DefectKind("unknown category", "ref_id", f"kept as category {NO_CATEGORY}")
EMPTY_SENTENCE = DefectKind("empty sentence", "sent_id", "kept")
UNUSABLE_BOX = DefectKind("box that is empty or outside the photo", "ref_id", OUTCOME)
NO_OUTLINE = DefectKind("no outline", "ref_id", OUTCOME)
NO_IMAGE = DefectKind("image_id of no image", "ref_id", OUTCOME)
OTHER_FILE = DefectKind("split other than the file's", "ref_id", "kept in the split of the file")
NO_SENTENCE = DefectKind("no sentence", "ref_id", OUTCOME)
NEGATIVE_REF = DefectKind("negative ref_id", "ref_id", OUTCOME)
REPEATED_REF = DefectKind("repeated ref_id", "ref_id", "all but the first left out")
OTHER_SPLIT = DefectKind("split of another name", "ref_id", OUTCOME)
NO_SPLIT = DefectKind("no such split", "split", "not written")


class ReferSet(NamedTuple):
    """Contents of a REFER data set.

    Attributes:
        splits: the referrals of each split that has any, in the file's order; boxes are whole numbers.
        defects: all defects found.
        notes: sentences about the set as a whole.
        categories: names of the categories, by their contiguous index; empty where a name is missing.
        expected: the published counts per split, where they are known.
    """

    splits: dict[str, list[Referral]]
    defects: Defects
    notes: list[str]
    categories: Sequence[str]
    expected: Mapping[str, Counts] = MappingProxyType({})


BOXES_ALONE = (
    "Targets are known by their boxes alone: `vlt test` reports box accuracy, and training needs "
    "`train.only: candidates`."
)
"""Sentence of the report of a set without outlines."""

PHOTO_FOLDERS = {"refclef": "saiapr_tc-12", "ref-zom": "trainval2014"}
"""Folders of the images of data sets that are not about COCO's train2014."""


def photo_folder(data_root: Path, dataset: str) -> Path:
    """Path of the images of `dataset` in the layout of its authors."""
    return data_root / "images" / PHOTO_FOLDERS.get(dataset, "train2014")


def annotation_files(data_root: Path, dataset: str) -> Path:
    """Path of the folder with the files of `dataset`: its name, or the same with underscores where there is only that.

    Example:
        >>> annotation_files(Path("data"), "ref-zom").as_posix()
        'data/ref-zom'
    """
    folder, other = data_root / dataset, data_root / dataset.replace("-", "_")
    return other if other.is_dir() and not folder.is_dir() else folder


def belongs(name: str, split: str) -> bool:
    """Decide whether a ref whose split is called `name` belongs to `split`.

    Example:
        >>> belongs("testAB", "testA"), belongs("testAB", "testB"), belongs("testAB", "test"), belongs("train", "testA")
        (True, True, True, False)
    """
    if split == "test":
        return "test" in name
    return split[-1] in name if split in ("testA", "testB", "testC") else name == split


def read_refer(data_root: Path, dataset: str, split_by: str, images: Path) -> ReferSet:
    """Read one data set of a REFER folder.

    Only the headers of images are read. Where none of the images exists, they are not checked, so that annotations
    can be prepared before the images are downloaded.

    Args:
        data_root: the folder with a folder per data set.
        dataset: a key of `SPLITS`.
        split_by: a key of `SPLITS[dataset]`.
        images: the folder of the images.

    Raises:
        DataError: no such data set or split; a file that is missing or malformed; a pickle that references anything
            but plain containers.
    """
    if dataset not in SPLITS:
        raise DataError(f"There is no REFER data set {dataset!r}; there are {', '.join(SPLITS)}.")
    if split_by not in SPLITS[dataset]:
        raise DataError(f"{dataset} has no split by {split_by!r}; it was split by {' and by '.join(SPLITS[dataset])}.")
    folder = annotation_files(data_root, dataset)
    refs = read_refs(folder, split_by)
    names = SPLITS[dataset][split_by]
    instances = read_instance_file(folder / "instances.json", InstanceFile)
    reader = ReferReader(dataset, instances, images, own_categories=dataset == "refclef")
    return reader.read(refs, names, belongs)


def mixed_types(key: str, wanted: Id, known: Container[Id]) -> tuple[str, str]:
    """Explain why an id is unknown: the reason and an example, for `Defects.add`.

    Args:
        key: name of the id in a ref.
        wanted: the id, which is not known.
        known: ids of the instance file, of which one may be the same as text or as a number.
    """
    other: Id | None = str(wanted) if isinstance(wanted, int) else int(wanted) if wanted.isdecimal() else None
    is_mixed = other is not None and other in known
    return f"{key} and the id in instances.json are text and number; use one type" * is_mixed, f"{key} {wanted!r}"


class ReferReader:
    """Turns refs into referrals and records their defects.

    Args:
        dataset: name of the data set, or of its file.
        instances: its images and objects.
        images: the folder of the images.
        own_categories: number the categories of `instances` by ascending id; otherwise they are COCO's.
        outlines: whether targets have outlines; otherwise they are known by their boxes alone.

    Attributes:
        names: names of the categories, by their contiguous index; empty where one is missing.
        defects: all that were found so far.
    """

    def __init__(
        self,
        dataset: str,
        instances: InstanceFile,
        images: Path,
        *,
        own_categories: bool = False,
        outlines: bool = True,
    ) -> None:
        self.defects = Defects()
        self._outlines = outlines
        self._images = images
        self._photos: dict[Id, Photo] = {}
        self._annotations: dict[Id, Annotation] = {}
        self._ambiguous_images: set[Id] = set()
        self._ambiguous_annotations: set[Id] = set()
        for photo in instances.images:
            if self._photos.setdefault(photo.id, photo) is not photo:
                self.defects.add(REPEATED_IMAGE, photo.id)
                if photo != self._photos[photo.id]:
                    self._ambiguous_images.add(photo.id)
        ids: dict[str, Id] = {}
        for photo in self._photos.values():
            if ids.setdefault(photo.file_name, photo.id) != photo.id:
                self.defects.add(SHARED_FILE, photo.id)
        for each in instances.annotations:
            if self._annotations.setdefault(each.id, each) is not each:
                self.defects.add(REPEATED_ANNOTATION, each.id)
                if each != self._annotations[each.id]:
                    self._ambiguous_annotations.add(each.id)
        own = sorted(category.id for category in instances.categories)
        self._categories = {number: i for i, number in enumerate(own if own_categories else COCO_IDS)}
        names = {category.id: category.name for category in instances.categories}
        found = [name for number in self._categories if (name := names.get(number))]
        self.names = found if len(found) == len(self._categories) else []
        self._skipped = SKIPPED_PHOTOS.get(dataset, frozenset())
        self._missing: dict[str, Missing] = {}
        self._misfits: dict[str, tuple[DefectKind, str] | None] = {}

    def read(
        self, refs: Sequence[Ref], names: Sequence[str], belongs: Callable[[str, str], bool] = operator.eq
    ) -> ReferSet:
        """Turn refs into the referrals of each split.

        Args:
            refs: the refs, in the order of the referrals.
            names: names of the splits.
            belongs: decides whether a ref whose split has the first name belongs to the split of the second.
        """
        notes = self.find_images(refs)
        placed = ((ref, [split for split in names if belongs(ref.split, split)]) for ref in refs)
        return ReferSet(self.fill_splits(placed, names), self.defects, notes, self.names)

    def fill_splits(self, refs: Iterable[tuple[Ref, Sequence[str]]], names: Sequence[str]) -> dict[str, list[Referral]]:
        """Make the referrals of each split; refs that cannot be used, and splits without any, are left out as defects.

        Args:
            refs: refs in the order of the files, each with the splits that it belongs to.
            names: names of all splits.
        """
        splits: dict[str, list[Referral]] = {split: [] for split in names}
        seen: set[int] = set()
        for ref, own in refs:
            if not own:
                self.defects.add(OTHER_SPLIT, ref.ref_id)
            elif ref.ref_id < 0:
                self.defects.add(NEGATIVE_REF, ref.ref_id, "the id names its mask; number the refs from 0")
            elif ref.ref_id in seen:
                self.defects.add(REPEATED_REF, ref.ref_id)
            elif not ref.sentences:
                self.defects.add(NO_SENTENCE, ref.ref_id)
            elif referral := self.referral(ref):
                for split in own:
                    splits[split].append(referral)
            seen.add(ref.ref_id)
        for split in names:
            if not splits[split]:
                self.defects.add(NO_SPLIT, split)
        return {split: members for split, members in splits.items() if members}

    def find_images(self, refs: Sequence[Ref]) -> list[str]:
        """Find out which images are missing.

        Returns:
            A note where none of them exists; in that case none is reported as missing.
        """
        names = {self._photos[ref.image_id].file_name for ref in refs if ref.image_id in self._photos}
        self._missing = missing_images(self._images, sorted(names))
        if len(self._missing) < len(names):
            return []
        where = f"there is no folder {self._images}"
        if self._images.is_dir():
            where = f"{self._images} holds none of the {len(names):,}"
            similar = [missing.example for missing in self._missing.values() if missing.reason]
            where += f", such as {similar[0]}" if similar else ""
        self._missing = {}
        self._misfits = dict.fromkeys(names)
        return [f"Images were not checked: {where}."]

    def referral(self, ref: Ref) -> Referral | None:
        """Make the referral of `ref`; None where a defect leaves it out."""
        photo = self._photos.get(ref.image_id)
        if photo is None:
            self.defects.add(MISSING_IMAGE, ref.ref_id, *mixed_types("image_id", ref.image_id, self._photos))
            return None
        if self._leaves_out(ref, photo):
            return None
        annotations = [self._annotations[target] for target in ref.targets]
        # Among several targets, the original leaves crowds out.
        shown = [each for each in annotations if not each.iscrowd] or annotations
        targets = self._read_outlines(ref, shown, photo) if self._outlines else self._read_boxes(ref, shown, photo)
        if targets is None:
            return None
        for sentence in ref.sentences:
            if not is_visible(sentence.sent):
                self.defects.add(EMPTY_SENTENCE, sentence.sent_id)
        category = NO_CATEGORY
        if targets:  # the category of the first, where there are several
            given = ref.category_id if isinstance(ref.category_id, list) else [ref.category_id]
            category = self._categories.get(given[0], NO_CATEGORY) if given else NO_CATEGORY
            if category == NO_CATEGORY:
                self.defects.add(UNKNOWN_CATEGORY, ref.ref_id)
        # As the original rounds it: corner and sides truncated on their own; around all targets.
        corners = [
            (int(x), int(y), int(x) + int(w), int(y) + int(h)) for x, y, w, h in (each.bbox for each in annotations)
        ]
        return Referral(
            ref_id=ref.ref_id,
            image=self._images / photo.file_name,
            targets=tuple(targets),
            expressions=tuple(Expression(each.sent_id, each.sent.strip()) for each in ref.sentences),
            category=category,
            box=join_boxes(corners),
        )

    def _read_outlines(self, ref: Ref, annotations: Sequence[Annotation], photo: Photo) -> list[Target] | None:
        """Read the masks of the targets of a ref; None where a defect leaves it out."""
        targets: list[Target] = []
        left_out: list[str] = []
        is_empty = False
        try:
            for each in annotations:
                outline = read_segmentation(each.segmentation, photo.size)
                targets.append(outline.rle)
                left_out += outline.left_out
                is_empty = is_empty or not rle_area(outline.rle)
        except DataError as error:
            self.defects.add(UNREADABLE_SEGMENTATION, ref.ref_id, str(error).rstrip("."))
            return None
        if left_out:
            self.defects.add(DEGENERATE_POLYGON, ref.ref_id, left_out[0])
        if is_empty:
            self.defects.add(EMPTY_MASK, ref.ref_id)
        return targets

    def _read_boxes(self, ref: Ref, annotations: Sequence[Annotation], photo: Photo) -> list[Target] | None:
        """Read the boxes of the targets of a ref; None where a defect leaves it out."""
        targets: list[Target] = []
        for x, y, width, height in (each.bbox for each in annotations):
            if min(width, height, x + width, y + height, photo.width - x, photo.height - y) <= 0:
                example = f"[{x:g}, {y:g}, {width:g}, {height:g}] in {photo.height} x {photo.width} pixels"
                self.defects.add(UNUSABLE_BOX, ref.ref_id, example=example)
                return None
            targets.append((x, y, x + width, y + height))
        return targets

    def _leaves_out(self, ref: Ref, photo: Photo) -> bool:
        """Record the defect of a ref that cannot be used, and say whether there is one."""
        name = photo.file_name
        own = [self._annotations.get(target) for target in ref.targets]
        if photo.id in self._ambiguous_images or self._ambiguous_annotations.intersection(ref.targets):
            self.defects.add(AMBIGUOUS, ref.ref_id)
        elif name in self._skipped:
            self.defects.add(SKIPPED_PHOTO, ref.ref_id)
        elif name in self._missing:
            self.defects.add(MISSING_PHOTO, ref.ref_id, self._missing[name].reason, self._missing[name].example)
        elif None in own:
            absent = ref.targets[own.index(None)]
            self.defects.add(MISSING_ANNOTATION, ref.ref_id, *mixed_types("ann_id", absent, self._annotations))
        elif any(each.image_id is not None and str(each.image_id) != str(ref.image_id) for each in own if each):
            self.defects.add(OTHER_IMAGE, ref.ref_id)
        else:
            if name not in self._misfits:
                self._misfits[name] = misfit(self._images / name, photo.size, "ref_id")
            defect = self._misfits[name]
            if defect is None:
                return False
            kind, reason = defect
            self.defects.add(kind, ref.ref_id, reason, name)
        return True
