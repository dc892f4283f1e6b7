"""Sentences that people wrote about the objects of an instance file, as a table with tabs between its columns.

image_id  annotation_id  expression
9         2              pink box on right
9         2+3            both boxes             several objects, their masks united
9         -              the dog                means nothing in the photo
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vlt.data.masks import read_segmentation
from vlt.data.prepare.coco_scenes import CocoScenes, Instances, PhotoScene
from vlt.data.prepare.refer_files import Id
from vlt.data.prepare.refer_set import NO_CATEGORY
from vlt.data.standing import standings
from vlt.errors import DataError
from vlt.types import RLE, Expression, Referral, Standing

COLUMNS = ("image_id", "annotation_id", "expression")
"""The first line of the table."""
NOTHING = "-"
"""In place of an annotation's id: nothing is meant."""


class Sentence(NamedTuple):
    """A line of the table.

    Attributes:
        line: its number, from 1.
        image_id: of the photo, as in the instance file.
        annotation_ids: of the objects that are meant.
        text: what was written, stripped.
    """

    line: int
    image_id: Id
    annotation_ids: tuple[int, ...]
    text: str


class _Target(NamedTuple):
    """An object of a photo that can be meant."""

    rle: RLE
    category_id: int
    standing: Standing


def read_sentences(path: Path, instances: Instances) -> list[Sentence]:
    """Reads a table of sentences about the photos of an instance file.

    Args:
        path: of the table, in UTF-8.
        instances: whose ids it speaks of.

    Raises:
        DataError: the table is missing, no text, or empty; its columns are others; an image or annotation that is not
            in the instance file or not in that photo; a blank sentence. All but the first three name the line.
    """
    lines = _lines(path)
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise DataError(f"{path} does not begin with the columns {', '.join(COLUMNS)}, a tab between; add that line.")
    known: dict[str, tuple[Id, dict[str, int]]] = {str(photo.id): (photo.id, {}) for photo in instances.images}
    for each in instances.annotations:
        if str(each.image_id) in known:
            known[str(each.image_id)][1][str(each.id)] = each.id
    try:
        sentences = [_sentence(number, line, known) for number, line in enumerate(lines[1:], 2)]
    except DataError as error:
        raise DataError(f"{path}, {error}") from None
    if not sentences:
        raise DataError(f"{path} holds no sentence below its first line; write some.")
    return sentences


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as file:
            return [line.rstrip("\n") for line in file]
    except FileNotFoundError:
        raise DataError(f"There is no table of expressions {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The table of expressions {path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DataError(f"The table of expressions {path} is no text in UTF-8; save it as such.") from None


def _sentence(number: int, line: str, known: dict[str, tuple[Id, dict[str, int]]]) -> Sentence:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(COLUMNS):
        raise DataError(f"line {number}: {len(cells)} columns in place of {len(COLUMNS)}; put one tab between two.")
    image, meant, text = cells
    if not text:
        raise DataError(f"line {number}: the expression is blank; write one, or remove the line.")
    if image not in known:
        raise DataError(f"line {number}: the instance file has no image {image!r}; correct the id.")
    image_id, annotations = known[image]
    ids = [] if meant == NOTHING else [each.strip() for each in meant.split("+")]
    for each in ids:
        if each not in annotations:
            raise DataError(
                f"line {number}: image {image} has no annotation {each!r}; correct the id, + joins several and "
                f"{NOTHING} stands for none."
            )
    return Sentence(number, image_id, tuple(annotations[each] for each in ids), text)


def only_photos(instances: Instances, sentences: Sequence[Sentence]) -> Instances:
    """The part of an instance file that sentences are about."""
    ids = {sentence.image_id for sentence in sentences}
    images = [photo for photo in instances.images if photo.id in ids]
    annotations = [each for each in instances.annotations if each.image_id in ids]
    return instances.model_copy(update={"images": images, "annotations": annotations})


class HandWritten:
    """Gives the objects of scenes the sentences that were written about them, and counts both.

    A referral has its annotation's id; one to several objects or to none has an id of its own, above all of those.

    Args:
        path: of the table, for messages.
        sentences: what it holds.
        instances: the whole file.
        scenes: of the photos that the sentences are about.
        images: the folder of the photos.
    """

    def __init__(
        self, path: Path, sentences: Sequence[Sentence], instances: Instances, scenes: CocoScenes, images: Path
    ) -> None:
        self._path = path
        self._sentences = sentences
        self._categories = scenes.categories
        self._images = images
        self._own_ids = itertools.count(1 + max((each.id for each in instances.annotations), default=0))
        self._sentence_ids = itertools.count()
        self._meant: set[int] = set()
        self._given = 0

    def referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """What a scene's sentences mean, in the order of the table.

        Raises:
            DataError: an object that cannot be used is meant.
        """
        targets = {
            instance.id: _Target(rle, instance.category_id, standing)
            for instance, rle, standing in zip(scene.instances, scene.rles, standings(scene.scene), strict=True)
            if rle is not None
        }
        groups: dict[tuple[int, ...], list[Sentence]] = {}
        for sentence in self._sentences:
            if sentence.image_id == scene.photo.id:
                groups.setdefault(sentence.annotation_ids, []).append(sentence)
        for ids, sentences in groups.items():
            self._given += len(sentences)
            self._meant.update(ids)
            yield self._referral(scene, ids, [self._usable(targets, each, sentences[0]) for each in ids], sentences)

    def summary(self) -> str:
        """What became of the sentences."""
        return f"{len(self._meant):,} are meant, in {self._given:,} of {len(self._sentences):,} sentences"

    def _usable(self, targets: dict[int, _Target], annotation_id: int, sentence: Sentence) -> _Target:
        if annotation_id not in targets:
            raise DataError(
                f"{self._path}, line {sentence.line}: annotation {annotation_id} has no usable mask or category; "
                "mean another, or remove the line."
            )
        return targets[annotation_id]

    def _referral(
        self, scene: PhotoScene, ids: tuple[int, ...], targets: Sequence[_Target], sentences: Sequence[Sentence]
    ) -> Referral:
        union = read_segmentation([target.rle for target in targets], (scene.photo.height, scene.photo.width))
        return Referral(
            ref_id=ids[0] if len(ids) == 1 else next(self._own_ids),
            image=self._images / scene.photo.file_name,
            target=union.rle,
            expressions=tuple(Expression(next(self._sentence_ids), each.text) for each in sentences),
            category=self._categories[targets[0].category_id] if targets else NO_CATEGORY,
            standing=targets[0].standing if len(targets) == 1 else None,
        )
