"""Convert records to referrals, merge those of one target, and write them as a prepared data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from tqdm import tqdm

from vlt.categories import COCO_CATEGORIES
from vlt.data.prepared import annotation_folder
from vlt.errors import DataError
from vlt.prepare.draw import Drawer, Drawn
from vlt.prepare.folder import SPLITS, refuse_other, write_data_set
from vlt.prepare.instances import Id
from vlt.prepare.own.annotated import AnnotatedObjects, plain_noun
from vlt.prepare.own.captioned import read_captioned
from vlt.prepare.own.cvat import read_cvat
from vlt.prepare.own.label_studio import read_label_studio
from vlt.prepare.own.lines import read_lines
from vlt.prepare.own.locate import Located, common_folder, locate, split_ids
from vlt.prepare.own.records import FilledBox, Record
from vlt.prepare.report import Defects, PrepareReport
from vlt.prepare.splits import VAL_SHARE, check_name, check_share, split_by_image
from vlt.types import NO_CATEGORY, Expression, Referral

Form: TypeAlias = Literal["lines", "label-studio", "cvat", "coco"]

READERS: Mapping[Form, Callable[[Path], list[Record]]] = {
    "lines": read_lines,
    "label-studio": read_label_studio,
    "cvat": read_cvat,
    "coco": read_captioned,
}
"""Form of a file -> its reader."""


FIRST_SIGNS: Mapping[bytes, Form] = {b"[": "label-studio", b"<": "cvat"}
"""First byte of a file -> its form."""


class RecordSet(NamedTuple):
    """Referrals made of records.

    Attributes:
        referrals: one per target, in the order of the records, and one per image for the expressions without a target.
        image_ids: image -> the id that decides its split.
        root: the folder of images, or the common one of several; images lie below it unless a record has a whole path.
        boxes: number of targets of which only the box is known.
        defects: all defects found.
        categories: COCO's 80 names, then the other nouns in alphabetical order, by `Referral.category`.
    """

    referrals: list[Referral]
    image_ids: Mapping[Path, Id]
    root: Path
    boxes: int
    defects: Defects
    categories: tuple[str, ...]

    def image_id(self, referral: Referral) -> Id:
        """Look up the id that decides the split of a referral."""
        assert isinstance(referral.image, Path)
        return self.image_ids[referral.image]

    def split(self, val_share: float = VAL_SHARE) -> dict[str, list[Referral]]:
        """Split the referrals by image into train, val, and the halves val_a and val_b; empty splits are left out.

        Args:
            val_share: share of the images for validation, in [0, 1], see `is_validation`.
        """
        return split_by_image(((self.image_id(each), [each]) for each in self.referrals), val_share)


class Target(NamedTuple):
    """Records of one target: the first of them, its mask, its noun, and the expressions of all.

    Attributes:
        located: the first record.
        drawn: the mask; None where nothing in the image matches.
        noun: name of its category; None where it is unknown.
        texts: the expressions of all records.
    """

    located: Located
    drawn: Drawn | None
    noun: str | None
    texts: list[str]


def form_of(path: Path) -> Form:
    """Recognise the form of a file: JSON lines by its ending, else tasks, XML or an instance file by its content.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return "lines"
    try:
        with path.open("rb") as file:
            start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    return FIRST_SIGNS.get(start[:1], "coco")


def read_records(files: Iterable[Path], form: Form | None = None) -> list[Record]:
    """Read the records of files.

    Args:
        files: paths of the files.
        form: form of all files; None: as `form_of` recognises that of each.

    Raises:
        DataError: a file is missing or not of its form, see the readers.
    """
    return [record for path in files for record in READERS[form or form_of(path)](path)]


def read_referrals(records: Sequence[Record], images: Sequence[Path], instances: Iterable[Path] = ()) -> RecordSet:
    """Convert records to referrals.

    Records without an id that have the same image and outline are one target, with the expressions of all.

    Args:
        records: as the readers return them.
        images: folders of the images, at least one.
        instances: instance files, with the outlines of `AnnotationId` and the other objects for the standings.

    Raises:
        DataError: a folder or instance file is missing; an image name that lies in two folders; an image with two ids;
            an id of two records; an annotation that does not exist. It names the record.
    """
    defects, objects = Defects(), AnnotatedObjects(instances)
    refuse_repeated_ids(records)
    located = locate([record for record in records if record.fault is None], images, objects, defects)
    for record in records:
        if record.fault is not None:
            defects.add(record.fault[0], record.where, record.fault[1])
    image_ids = split_ids(located, defects)
    targets = merge_targets(located, Drawer(objects, defects))
    categories = COCO_CATEGORIES + tuple(
        sorted({target.noun for target in targets if target.noun} - set(COCO_CATEGORIES))
    )
    given = [target.located.record.record_id for target in targets]
    free_ids = itertools.count(1 + max((each for each in given if isinstance(each, int)), default=0))
    sentence_ids = itertools.count()
    referrals = []
    for target in targets:
        own, drawn, noun = target.located.record.record_id, target.drawn, target.noun
        standing = None
        if drawn is not None and noun is not None:
            standing = objects.standing(target.located.image_id, noun, drawn.box, drawn.annotated)
        referral = Referral(
            ref_id=own if isinstance(own, int) and own >= 0 else next(free_ids),
            image=target.located.path,
            targets=() if drawn is None else (drawn.rle,),
            expressions=tuple(Expression(next(sentence_ids), text) for text in target.texts),
            category=NO_CATEGORY if drawn is None or noun is None else categories.index(noun),
            box=None if drawn is None else drawn.box,
            standing=standing,
        )
        referrals.append(referral)
    boxes = sum(isinstance(target.located.record.outline, FilledBox) for target in targets)
    return RecordSet(referrals, image_ids, common_folder(images), boxes, defects, categories)


def refuse_repeated_ids(records: Iterable[Record]) -> None:
    """Check that no two records have one id.

    Raises:
        DataError: two have.
    """
    taken: dict[Id, Record] = {}
    for record in records:
        if record.record_id is not None and taken.setdefault(record.record_id, record) is not record:
            before = taken[record.record_id].where
            raise DataError(f"{record.where}: the id {record.record_id!r} stands in {before}, too; give each its own.")


def merge_targets(located: Iterable[Located], drawer: Drawer) -> list[Target]:
    """Draw the outlines of records, and merge those of equal image and outline; unusable ones are left out.

    Args:
        located: the records with their images.
        drawer: draws the outlines and reports defects.

    Raises:
        DataError: the annotation of a record does not exist.
    """
    targets: dict[object, Target] = {}
    for each in tqdm(list(located), desc="outlines", unit="record", disable=None):
        record = each.record
        # As text, because polygons and run lengths cannot be hashed.
        key = (each.path, repr(record.outline)) if record.record_id is None else ("id", record.record_id)
        if key in targets:
            targets[key].texts.extend(record.expressions)
            continue
        drawn = None
        if record.outline is None:
            if drawer.stored_size(each) is None:
                continue
        else:
            drawn = drawer.draw(each)
            if drawn is None:
                continue
        noun = plain_noun(record.category) if record.category else None
        if noun is None and drawn is not None and drawn.annotated is not None:
            noun = drawn.annotated.noun
        targets[key] = Target(each, drawn, noun, list(record.expressions))
    return list(targets.values())


def prepare_records(
    data: Sequence[Path],
    images: Sequence[Path],
    output_dir: Path,
    *,
    form: Form,
    name: str,
    instances: Sequence[Path] = (),
    val_share: float = VAL_SHARE,
    generate_mask: bool = False,
) -> PrepareReport:
    """Make a referring data set from files of one form: annotations, masks, and `prepare.json` with the report.

    Args:
        data: the files.
        images: folders of the images.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        form: form of the files.
        name: name of the data set, the folder under both.
        instances: instance files that have outlines and the other objects of the images.
        val_share: share of the images for validation, in [0, 1], see `is_validation`.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `val_share` is outside [0, 1]; `name` is no plain name.
        DataError: see `read_records` and `read_referrals`; no record can be used; a folder or file cannot be written;
            the folder of that name holds a data set that was made in another way.
    """
    folder = annotation_folder(output_dir, check_name(name))
    source = {form: [str(path) for path in data], "val_share": check_share(val_share)}
    if instances:
        source["instances"] = [str(path) for path in instances]
    refuse_other(folder, source)
    found = read_referrals(read_records(data, form), images, instances)
    if not found.referrals:
        raise DataError(f"No record of {', '.join(map(str, data))} can be used: {found.defects.summary()}.")
    return write_data_set(
        output_dir,
        name,
        found.split(val_share),
        source=source,
        images=found.root,
        defects=found.defects,
        categories=found.categories,
        generate_mask=generate_mask,
        notes=make_notes(found, len(images)),
        replaced=SPLITS,
    )


def make_notes(found: RecordSet, folders: int) -> list[str]:
    """Write the sentences of the report: numbers of targets and expressions, boxes, and the folder of images.

    Args:
        found: the referrals.
        folders: number of folders of images that were given.
    """
    with_target = [referral for referral in found.referrals if referral.targets]
    without = sum(len(referral.expressions) for referral in found.referrals if not referral.targets)
    expressions = sum(len(referral.expressions) for referral in with_target)
    notes = [
        f"Targets: {len(with_target):,}, with {expressions:,} expressions; expressions without a target: {without:,}."
    ]
    if found.boxes:
        notes.append(f"{found.boxes:,} target{'s are boxes' if found.boxes > 1 else ' is a box'} without an outline.")
    if folders > 1:
        notes.append(f"Images are named relative to {found.root}, which is data.images of a configuration.")
    return notes
