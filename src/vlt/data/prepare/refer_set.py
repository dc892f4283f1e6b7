"""REFER folders to referrals, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlt.data.masks import Outline, read_segmentation, rle_area
from vlt.data.prepare.refer_files import Annotation, Instances, Ref, read_instances, read_refs
from vlt.data.prepare.report import DefectKind, Defects
from vlt.errors import DataError
from vlt.types import Box, Expression, Referral, Size

SPLITS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "refcoco": {"unc": ("train", "val", "testA", "testB"), "google": ("train", "val", "test")},
    "refcoco+": {"unc": ("train", "val", "testA", "testB")},
    "refcocog": {"umd": ("train", "val", "test"), "google": ("train", "val")},
    "refclef": {"unc": ("train", "val", "testA", "testB", "testC"), "berkeley": ("train", "val", "test")},
    "grefcoco": {"unc": ("train", "val", "testA", "testB")},
}
"""dataset -> who split it -> the splits there are."""

SKIPPED_PHOTOS = {"refclef": frozenset({"19579.jpg", "17975.jpg", "19575.jpg"})}
"""Photos that the original leaves out."""

COCO_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
"""COCO's 80 categories by their ids, which have gaps."""

NO_CATEGORY = -1
"""Category of a referral to nothing, or to something of an unknown category."""

MISSING_PHOTO = DefectKind("missing photo", "ref_id", "left out")
SKIPPED_PHOTO = DefectKind("photo known to be unusable", "ref_id", "left out")
MISSING_IMAGE = DefectKind("image not in instances.json", "ref_id", "left out")
MISSING_ANNOTATION = DefectKind("missing annotation", "ref_id", "left out")
UNREADABLE_SEGMENTATION = DefectKind("unreadable segmentation", "ref_id", "left out")
DEGENERATE_POLYGON = DefectKind("degenerate polygon", "ref_id", "kept without that polygon")
EMPTY_MASK = DefectKind("empty mask", "ref_id", "kept")
UNKNOWN_CATEGORY = DefectKind("unknown category", "ref_id", f"kept as category {NO_CATEGORY}")
EMPTY_SENTENCE = DefectKind("empty sentence", "sent_id", "kept")
NO_SENTENCE = DefectKind("no sentence", "ref_id", "left out")
REPEATED_REF = DefectKind("repeated ref_id", "ref_id", "all but the first left out")
OTHER_SPLIT = DefectKind("split of another name", "ref_id", "left out")
NO_SPLIT = DefectKind("no such split", "split", "not written")


class ReferSet(NamedTuple):
    """What a REFER folder holds.

    Attributes:
        splits: the referrals of each split that has any, in the file's order; boxes are whole numbers.
        defects: all that were met.
        notes: sentences about the set as a whole.
        categories: what each category is called, by its contiguous index; empty where a name is missing.
    """

    splits: dict[str, list[Referral]]
    defects: Defects
    notes: list[str]
    categories: Sequence[str]


def photo_folder(data_root: Path, dataset: str) -> Path:
    """Where REFER's authors put the photos of `dataset`."""
    return data_root / "images" / ("saiapr_tc-12" if dataset == "refclef" else "train2014")


def read_refer(data_root: Path, dataset: str, split_by: str, images: Path) -> ReferSet:
    """Reads one data set of a REFER folder.

    Photos are looked for, not opened. Where none of them is there, none is missed: one may prepare the annotations
    before the photos have come.

    Args:
        data_root: the folder with a folder per data set.
        dataset: a key of `SPLITS`.
        split_by: a key of `SPLITS[dataset]`.
        images: the folder with the photos.

    Raises:
        DataError: no such data set or split; a file that is missing or malformed; a pickle that references anything
            but plain containers.
    """
    _refuse_unknown(dataset, split_by)
    refs = read_refs(data_root / dataset, split_by)
    reader = _Reader(dataset, SPLITS[dataset][split_by], read_instances(data_root / dataset / "instances.json"))
    notes = reader.look_for_photos(images, refs)
    found = [(ref.split, referral) for ref in reader.usable(refs) if (referral := reader.referral(ref, images))]
    splits = {split: [each for name, each in found if belongs(name, split)] for split in reader.splits}
    for split in reader.splits:
        if not splits[split]:
            reader.defects.add(NO_SPLIT, split)
    splits = {split: members for split, members in splits.items() if members}
    return ReferSet(splits, reader.defects, notes, reader.names)


def belongs(name: str, split: str) -> bool:
    """Whether a ref whose split is called `name` belongs to `split`.

    Example:
        >>> belongs("testAB", "testA"), belongs("testAB", "testB"), belongs("testAB", "test"), belongs("train", "testA")
        (True, True, True, False)
    """
    if split == "test":
        return "test" in name
    return split[-1] in name if split in ("testA", "testB", "testC") else name == split


class _Reader:
    """Turns refs into referrals, and notes what is wrong with them.

    Attributes:
        splits: the names of the splits.
        names: of the categories, by their contiguous index; empty where one is missing.
        defects: all that were met so far.
    """

    def __init__(self, dataset: str, splits: Sequence[str], instances: Instances) -> None:
        self.splits = splits
        self.defects = Defects()
        self._photos = {photo.id: photo for photo in instances.images}
        self._annotations = {annotation.id: annotation for annotation in instances.annotations}
        own = sorted(category.id for category in instances.categories)
        self._categories = {number: i for i, number in enumerate(own if dataset == "refclef" else COCO_IDS)}
        names = {category.id: category.name for category in instances.categories}
        found = [name for number in self._categories if (name := names.get(number))]
        self.names = found if len(found) == len(self._categories) else []
        self._skipped = SKIPPED_PHOTOS.get(dataset, frozenset())
        self._missing: frozenset[str] = frozenset()

    def look_for_photos(self, images: Path, refs: Sequence[Ref]) -> list[str]:
        """Learns which photos are missing; says so where the folder has none of them, and misses none."""
        names = {self._photos[ref.image_id].file_name for ref in refs if ref.image_id in self._photos}
        missing = frozenset(name for name in names if not (images / name).is_file())
        if missing == names:
            where = f"{images} holds none of the {len(names):,}" if images.is_dir() else f"there is no folder {images}"
            return [f"Photos were not checked: {where}."]
        self._missing = missing
        return []

    def usable(self, refs: Sequence[Ref]) -> Iterator[Ref]:
        """The refs that belong to a split, say something, and do not repeat an earlier one."""
        seen: set[int] = set()
        for ref in refs:
            if not any(belongs(ref.split, split) for split in self.splits):
                self.defects.add(OTHER_SPLIT, ref.ref_id)
            elif ref.ref_id in seen:
                self.defects.add(REPEATED_REF, ref.ref_id)
            elif not ref.sentences:
                self.defects.add(NO_SENTENCE, ref.ref_id)
            else:
                yield ref
            seen.add(ref.ref_id)

    def referral(self, ref: Ref, images: Path) -> Referral | None:
        """The referral of `ref`; None where it is left out."""
        if reason := self._reason_to_leave_out(ref):
            self.defects.add(reason, ref.ref_id)
            return None
        photo = self._photos[ref.image_id]
        annotations = [self._annotations[target] for target in ref.targets]
        try:
            outline = _outline(annotations, (photo.height, photo.width))
        except DataError:
            self.defects.add(UNREADABLE_SEGMENTATION, ref.ref_id)
            return None
        self._note_defects(ref, outline)
        return Referral(
            ref_id=ref.ref_id,
            image=images / photo.file_name,
            target=outline.rle,
            expressions=tuple(Expression(each.sent_id, each.sent.strip()) for each in ref.sentences),
            category=self._category(ref),
            box=_box(annotations),
        )

    def _reason_to_leave_out(self, ref: Ref) -> DefectKind | None:
        photo = self._photos.get(ref.image_id)
        if photo is None:
            return MISSING_IMAGE
        if photo.file_name in self._skipped:
            return SKIPPED_PHOTO
        if photo.file_name in self._missing:
            return MISSING_PHOTO
        return None if all(target in self._annotations for target in ref.targets) else MISSING_ANNOTATION

    def _note_defects(self, ref: Ref, outline: Outline) -> None:
        """Notes what is wrong with a ref that is kept."""
        if outline.degenerate:
            self.defects.add(DEGENERATE_POLYGON, ref.ref_id)
        if ref.targets and not rle_area(outline.rle):
            self.defects.add(EMPTY_MASK, ref.ref_id)
        for sentence in ref.sentences:
            if not sentence.sent.strip():
                self.defects.add(EMPTY_SENTENCE, sentence.sent_id)

    def _category(self, ref: Ref) -> int:
        """Contiguous index of the category, of the first target where there are several."""
        if not ref.targets:
            return NO_CATEGORY
        categories = ref.category_id if isinstance(ref.category_id, list) else [ref.category_id]
        first = categories[0] if categories else NO_CATEGORY
        if first not in self._categories:
            self.defects.add(UNKNOWN_CATEGORY, ref.ref_id)
        return self._categories.get(first, NO_CATEGORY)


def _outline(annotations: Sequence[Annotation], size: Size) -> Outline:
    """The union of what is meant; among several targets, crowds are left out."""
    single = len(annotations) == 1
    shapes = [each.segmentation for each in annotations if single or not each.iscrowd]
    if len(shapes) == 1:
        return read_segmentation(shapes[0], size)
    return read_segmentation(
        [part for shape in shapes for part in (shape if isinstance(shape, list) else [shape])], size
    )


def _box(annotations: Sequence[Annotation]) -> Box | None:
    """The box around all targets as the original rounds it: corner and sides truncated."""
    corners = [(int(x), int(y), int(x) + int(w), int(y) + int(h)) for x, y, w, h in (each.bbox for each in annotations)]
    if not corners:
        return None
    left, top, right, bottom = zip(*corners, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _refuse_unknown(dataset: str, split_by: str) -> None:
    if dataset not in SPLITS:
        raise DataError(f"There is no REFER data set {dataset!r}; there are {', '.join(SPLITS)}.")
    if split_by not in SPLITS[dataset]:
        raise DataError(f"{dataset} has no split by {split_by!r}; it was split by {' and by '.join(SPLITS[dataset])}.")
