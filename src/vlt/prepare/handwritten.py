"""Expressions that people wrote about the objects of an instance file, as a table with tabs between its columns.

image_id  annotation_id  expression
9         2              pink box on right
9         2+3            both boxes             several targets
9         -              the dog                nothing in the image
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vlt.errors import DataError
from vlt.files import read_text
from vlt.prepare.coco_scenes import CocoScenes, PhotoScene
from vlt.prepare.instances import CocoFile, Id
from vlt.prepare.own.records import TableLine
from vlt.synth.words import standings
from vlt.types import NO_CATEGORY, Expression, Referral

COLUMNS = ("image_id", "annotation_id", "expression")
"""Columns of the table, its first line."""
NOTHING = "-"
"""Entry of the column annotation_id for an expression without a target."""


def read_table(path: Path, instances: CocoFile) -> list[TableLine]:
    """Read a table of expressions about the images of an instance file.

    Args:
        path: path of the table, in UTF-8.
        instances: the file whose ids are used in the table.

    Raises:
        DataError: the table is missing, not text, or empty, or has other columns; an image or annotation that is not
            in the instance file or not in that image; a blank expression. All but the first three name the line.
    """
    try:
        lines = read_text(path).removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise DataError(f"There is no table of expressions {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The table of expressions {path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DataError(f"The table of expressions {path} is not UTF-8 text; save it as UTF-8.") from None
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise DataError(f"{path} does not begin with the columns {', '.join(COLUMNS)}, a tab between; add that line.")
    image_ids: dict[str, Id] = {str(photo.id): photo.id for photo in instances.images}
    annotation_ids: dict[str, dict[str, list[int]]] = {image: {} for image in image_ids}
    for each in instances.annotations:
        if str(each.image_id) in annotation_ids:
            annotation_ids[str(each.image_id)].setdefault(str(each.id), []).append(each.id)
    try:
        table = [parse_line(number, line, image_ids, annotation_ids) for number, line in enumerate(lines[1:], 2)]
    except DataError as error:
        raise DataError(f"{path}, {error}") from None
    if not table:
        raise DataError(f"{path} holds no expression below its first line; write some.")
    return table


def parse_line(
    number: int, line: str, image_ids: Mapping[str, Id], annotation_ids: Mapping[str, Mapping[str, Sequence[int]]]
) -> TableLine:
    """Parse a line of the table.

    Args:
        number: number of the line, from 1.
        line: its text.
        image_ids: text of an image id -> the id.
        annotation_ids: text of an image id -> text of an annotation id -> all annotations of that id.

    Raises:
        DataError: it does not have three columns, or an id that is not one image or annotation; a blank expression.
    """
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(COLUMNS):
        raise DataError(f"line {number}: {len(cells)} columns in place of {len(COLUMNS)}; put one tab between two.")
    image, targets, text = cells
    if not text:
        raise DataError(f"line {number}: the expression is blank; write one, or remove the line.")
    if image not in image_ids:
        raise DataError(f"line {number}: the instance file has no image {image!r}; correct the id.")
    known = annotation_ids[image]
    ids = [] if targets == NOTHING else [each.strip() for each in targets.split("+")]
    for each in ids:
        if each not in known:
            raise DataError(
                f"line {number}: image {image} has no annotation {each!r}; correct the id, + joins several and "
                f"{NOTHING} stands for none."
            )
        if len(known[each]) > 1:
            raise DataError(
                f"line {number}: image {image} has {len(known[each])} annotations {each!r}; give each an id of its "
                "own in the instance file."
            )
    return TableLine(f"line {number}", image_ids[image], tuple(known[each][0] for each in ids), text)


class TableExpressions:
    """Makes referrals of the objects of scenes and the expressions about them, and counts both.

    A referral has its annotation's id; one with several targets or none has an id of its own, above all of those.

    Args:
        path: path of the table, for messages.
        table: its lines.
        scenes: scenes of the images in the table.
        images: the folder of the images.
        leave_out: leave out expressions about an object without a usable mask or category, which `scenes` reports;
            otherwise they are refused.
    """

    def __init__(
        self, path: Path, table: Sequence[TableLine], scenes: CocoScenes, images: Path, *, leave_out: bool = False
    ) -> None:
        self._path = path
        self._leave_out = leave_out
        self._table = table
        self._scenes = scenes
        self._images = images
        self._sentence_ids = itertools.count()
        self._targets: set[int] = set()
        self._given = 0

    def referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """Make the referrals of a scene, in the order of the table.

        Raises:
            DataError: a target has no usable mask or category and is not left out.
        """
        usable = {
            instance.id: (rle, self._scenes.categories[instance.category_id], standing)
            for instance, rle, standing in zip(scene.instances, scene.rles, standings(scene.scene), strict=True)
            if rle is not None
        }
        groups: dict[tuple[int, ...], list[TableLine]] = {}
        for line in self._table:
            if self._scenes.copies.get(line.image_id, line.image_id) == scene.photo.id:
                renumbered = self._scenes.renumbered
                ids = tuple(renumbered.get((line.image_id, each), each) for each in line.annotation_ids)
                unusable = [given for each, given in zip(ids, line.annotation_ids, strict=True) if each not in usable]
                if unusable and not self._leave_out:
                    raise DataError(
                        f"{self._path}, {line.where}: annotation {unusable[0]} has no usable mask or category; "
                        "choose another target, or remove the line."
                    )
                if not unusable:
                    groups.setdefault(ids, []).append(line)
        for ids, lines in groups.items():
            self._given += len(lines)
            self._targets.update(ids)
            targets = [usable[each] for each in ids]
            yield Referral(
                ref_id=ids[0] if len(ids) == 1 else next(self._scenes.free_ids),
                image=self._images / scene.photo.file_name,
                targets=tuple(rle for rle, _, _ in targets),
                expressions=tuple(Expression(next(self._sentence_ids), line.text) for line in lines),
                category=targets[0][1] if targets else NO_CATEGORY,
                standing=targets[0][2] if len(targets) == 1 else None,
            )

    def summary(self) -> str:
        """Count the targets and the expressions that were used."""
        return f"{len(self._targets):,} are targets, in {self._given:,} of {len(self._table):,} expressions"
