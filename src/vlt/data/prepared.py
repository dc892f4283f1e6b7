"""Prepared data sets: annotations in the original's schema, and masks as run lengths in one file or as PNGs.

<root>/anns/<dataset>/<split>.json       one entry per referral
<root>/masks/<dataset>/masks.json.gz     {"format": 1, "masks": {key: run lengths}}, or
<root>/masks/<dataset>/<key>.png         8-bit grey, the object where > 0

A mask's key is the segment_id of its referral, followed by .0, .1, ... where the referral has several targets. Targets
that are known by their boxes alone have no mask; their boxes are in the annotation.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from PIL import Image as PILImage
from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError, model_validator

from vlt.data.masks import encode_rle, join_boxes, mask_box, read_target, read_targets
from vlt.errors import DataError
from vlt.files import JsonObject, make_folder, malformed, read_bytes, read_json, replacing
from vlt.types import RLE, Expression, Referral, Standing, Target

MASKS_FILE = "masks.json.gz"
PNG_WRITERS = 8
"""Number of threads that write PNGs; they mostly wait for the disk."""

Z_RLE = 3
"""zlib's compression strategy Z_RLE, for images with long runs."""

NO_BOX = (0.0, 0.0, 0.0, 0.0)
"""Box of a referral without a target, and of an object whose box is not stated."""


class _Sentence(JsonObject):
    sent_id: int
    sent: str


class _Standing(JsonObject):
    same: PositiveInt
    rank: PositiveInt

    @model_validator(mode="after")
    def _rank_exists(self) -> _Standing:
        if self.rank > self.same:
            raise ValueError(f"rank {self.rank} of {self.same}")
        return self


class _Annotation(JsonObject):
    bbox: tuple[float, float, float, float]
    cat: int
    segment_id: int
    targets_num: Annotated[int, Field(ge=0)] = 1
    img_name: Annotated[str, Field(min_length=1)]
    sentences: Annotated[list[_Sentence], Field(min_length=1)]
    sentences_num: int
    standing: _Standing | None = None
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] | None = None

    @model_validator(mode="after")
    def _boxes_are_of_the_targets(self) -> _Annotation:
        if self.boxes is not None and len(self.boxes) != self.targets_num:
            raise ValueError(f"{len(self.boxes)} boxes, but targets_num is {self.targets_num}")
        if any(x0 >= x1 or y0 >= y1 for x0, y0, x1, y1 in self.boxes or ()):
            raise ValueError("boxes are [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self

    @property
    def masks(self) -> list[str]:
        """Keys of the masks; none where the targets are known by their boxes alone."""
        return [] if self.boxes else mask_keys(self.segment_id, self.targets_num)


class _RunLengths(JsonObject):
    size: tuple[PositiveInt, PositiveInt]
    counts: str


class _Masks(JsonObject):
    format: Literal[1, 2]
    masks: dict[Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")], _RunLengths]


_ANNOTATIONS = TypeAdapter(list[_Annotation])


class SplitContent(NamedTuple):
    """Counts of a prepared split, and its images.

    Attributes:
        referrals: number of referrals.
        expressions: number of their expressions.
        images: names of the images, relative to their folder, sorted.
    """

    referrals: int
    expressions: int
    images: tuple[str, ...]


def annotation_folder(root: Path, dataset: str) -> Path:
    """Path of the annotations of `dataset`."""
    return root / "anns" / dataset


def split_names(root: Path, dataset: str) -> list[str]:
    """List the splits of a prepared data set in alphabetical order; none where there is no such folder."""
    # `vlt prepare` writes the arguments of a run into prepare.json beside the splits.
    return sorted(path.stem for path in annotation_folder(root, dataset).glob("*.json") if path.stem != "prepare")


def mask_folder(root: Path, dataset: str) -> Path:
    """Path of the masks of `dataset`."""
    return root / "masks" / dataset


def mask_keys(segment_id: int, targets: int) -> list[str]:
    """Name the masks of a referral, in the compact file and as PNGs.

    Args:
        segment_id: segment_id of the referral.
        targets: number of its targets.

    Example:
        >>> mask_keys(12, 1), mask_keys(12, 2), mask_keys(12, 0)
        (['12'], ['12.0', '12.1'], [])
    """
    return [str(segment_id)] if targets == 1 else [f"{segment_id}.{number}" for number in range(targets)]


# ---------------------------------------------------------------- writing


def write_prepared(
    output_dir: Path,
    dataset: str,
    splits: Mapping[str, Sequence[Referral]],
    *,
    generate_mask: bool,
    images: Path | None = None,
) -> None:
    """Write the annotations of each split and all masks; each file is written atomically.

    Masks are written first, so that annotations never refer to masks that do not exist yet. Only the given kind of
    masks is written; an older `masks.json.gz` is removed when PNGs are.

    Args:
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        dataset: name of the folders under both.
        splits: the referrals of each split; their images are paths.
        generate_mask: write PNGs, as the original's script does, in place of run lengths.
        images: image paths inside this folder are written relative to it; others, and all for None, unchanged.

    Raises:
        DataError: a folder or file cannot be written; a negative ref_id; an image is in memory; targets of different
            sizes; a referral with masks of some of its targets and boxes of others.
    """
    for split, members in splits.items():
        for each in members:
            if each.ref_id < 0:
                raise DataError(
                    f"Referral {each.ref_id} of {split} has a negative id, which no mask can have; renumber it."
                )
    make_folder(annotation_folder(output_dir, dataset))
    folder = mask_folder(output_dir, dataset)
    make_folder(folder)
    referrals = {each.ref_id: each for split in splits.values() for each in split}.values()  # some are in two splits
    targets: dict[str, Target] = {}
    for each in referrals:
        if len(each.boxes) not in (0, len(each.targets)):
            raise DataError(f"Referral {each.ref_id} has targets with masks and others without; leave it out.")
        if not each.boxes:
            targets |= zip(mask_keys(each.ref_id, len(each.targets)), each.targets, strict=True)
    if generate_mask:
        with ThreadPoolExecutor(PNG_WRITERS) as pool:
            for _ in pool.map(_write_png, (folder / f"{key}.png" for key in targets), targets.values()):
                pass  # waiting for each raises its error here, which cancels the rest
        (folder / MASKS_FILE).unlink(missing_ok=True)
    else:
        masks = {
            key: target if isinstance(target, dict) else encode_rle(read_target(target))
            for key, target in targets.items()
        }
        version = 1 if all(key.isdecimal() for key in masks) else 2
        with replacing(folder / MASKS_FILE) as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            packed.write(json.dumps({"format": version, "masks": masks}).encode())
    for split, members in splits.items():
        with replacing(annotation_folder(output_dir, dataset) / f"{split}.json") as file:
            file.write(json.dumps([_to_json(referral, images) for referral in members]).encode())


def _write_png(path: Path, target: Target) -> None:
    image = PILImage.fromarray(read_target(target).astype(np.uint8) * 255)
    with replacing(path) as file:
        image.save(file, format="png", compress_level=1, compress_type=Z_RLE)  # quick, and small for masks


def _to_json(referral: Referral, images: Path | None) -> dict[str, Any]:
    """Convert a referral to an entry of the original's schema; standing, number of targets and boxes are additions."""
    if not isinstance(referral.image, Path):
        raise DataError(f"Referral {referral.ref_id} has an image in memory; only images in files can be prepared.")
    image = referral.image
    if images and image.is_relative_to(images):
        image = image.relative_to(images)
    box = referral.box or join_boxes(referral.boxes) or mask_box(read_targets(referral.targets, (1, 1))) or NO_BOX
    return {
        "bbox": [int(side) for side in box],
        "cat": referral.category,
        "segment_id": referral.ref_id,
        "img_name": image.as_posix(),
        "sentences": [
            {"idx": index, "sent_id": expression.sent_id, "sent": expression.text}
            for index, expression in enumerate(referral.expressions)
        ],
        "sentences_num": len(referral.expressions),
        **({} if len(referral.targets) == 1 else {"targets_num": len(referral.targets)}),
        **({"standing": asdict(referral.standing)} if referral.standing else {}),
        **({"boxes": referral.boxes} if referral.boxes else {}),
    }


# ---------------------------------------------------------------- reading


def read_prepared(root: Path, dataset: str, split: str, images: Path) -> list[Referral]:
    """Read a prepared split, ours or the original script's, and check that all its masks and images exist.

    Args:
        root: the folder with `anns/` and `masks/`.
        dataset: name of the folders under both.
        split: such as "train".
        images: the folder with the images.

    Returns:
        The referrals in the file's order; targets are run lengths, or paths of PNGs where there is no compact file, or
        boxes where the annotation has these.

    Raises:
        DataError: no such data set or split; a file that is damaged or not of the schema; no masks, or one that is
            missing; an image that is missing.
    """
    path = annotation_folder(root, dataset) / f"{split}.json"
    annotations = _read_annotations(path)
    keys, targets = _find_masks(path, annotations, mask_folder(root, dataset))
    if not images.is_dir():
        raise DataError(f"There is no folder of images {images}; name the one with {annotations[0].img_name} in it.")
    names = sorted({annotation.img_name for annotation in annotations})
    missing = [name for name in names if not (images / name).is_file()]
    if missing:
        ids = [annotation.segment_id for annotation in annotations if annotation.img_name == missing[0]]
        raise DataError(
            f"{images} lacks {len(missing)} of the {len(names)} images of {path}, the first {missing[0]} "
            f"(segment_id {_first_ids(ids)}); add them, or run `vlt prepare` again to leave them out."
        )
    return [
        Referral(
            ref_id=each.segment_id,
            image=images / each.img_name,
            targets=tuple(each.boxes or (targets[key] for key in keys[each.segment_id])),
            expressions=tuple(Expression(sentence.sent_id, sentence.sent) for sentence in each.sentences),
            category=each.cat,
            box=None if each.bbox == NO_BOX else each.bbox,
            standing=Standing(**each.standing.model_dump()) if each.standing else None,
        )
        for each in annotations
    ]


def read_content(root: Path, dataset: str, split: str) -> SplitContent:
    """Count the referrals, expressions and images of a prepared split; neither masks nor images need exist.

    Raises:
        DataError: no such data set or split; a file that is damaged or not of the schema.
    """
    annotations = _read_annotations(annotation_folder(root, dataset) / f"{split}.json")
    names = sorted({annotation.img_name for annotation in annotations})
    return SplitContent(len(annotations), sum(len(each.sentences) for each in annotations), tuple(names))


def mask_files(root: Path, dataset: str, split: str) -> list[Path]:
    """List the PNGs with the masks of a prepared split; none where all masks are in one file, which is read whole.

    Raises:
        DataError: no masks, or one that is missing; a file that is damaged or not of the schema.
    """
    path = annotation_folder(root, dataset) / f"{split}.json"
    keys, targets = _find_masks(path, _read_annotations(path), mask_folder(root, dataset))
    found = (targets[key] for own in keys.values() for key in own)
    return [target for target in found if isinstance(target, Path)]


def images_of_other_splits(root: Path, dataset: str, split: str) -> set[str]:
    """Names of the images of all splits but one, relative to the folder of images.

    Raises:
        DataError: a file that is damaged or not of the schema.
    """
    folder, others = annotation_folder(root, dataset), (other for other in split_names(root, dataset) if other != split)
    return {annotation.img_name for other in others for annotation in _read_annotations(folder / f"{other}.json")}


def _read_annotations(path: Path) -> list[_Annotation]:
    if not path.exists():
        splits = split_names(path.parents[2], path.parent.name)
        there = f"the splits there are {', '.join(splits)}" if splits else f"run `vlt prepare` to make {path.parent}"
        raise DataError(f"There is no {path}; {there}.")
    annotations = read_json(path, _ANNOTATIONS, "run `vlt prepare` again")
    if not annotations:
        raise DataError(f"{path} holds no referrals; run `vlt prepare` again.")
    seen: set[int] = set()
    for annotation in annotations:
        if annotation.segment_id in seen:
            raise DataError(f"{path} holds segment_id {annotation.segment_id} twice; run `vlt prepare` again.")
        if annotation.sentences_num != len(annotation.sentences):
            raise DataError(
                f"{path}: segment_id {annotation.segment_id} announces {annotation.sentences_num} sentences but has "
                f"{len(annotation.sentences)}; run `vlt prepare` again."
            )
        seen.add(annotation.segment_id)
    return annotations


def _find_masks(
    path: Path, annotations: Sequence[_Annotation], folder: Path
) -> tuple[dict[int, list[str]], dict[str, RLE | Path]]:
    """Find the masks of a split: their keys by segment_id, and all masks of the data set by key."""
    keys = {each.segment_id: each.masks for each in annotations}
    where, targets = _read_masks(folder)
    if not targets and not where.is_file() and any(keys.values()):
        raise DataError(
            f"{path} has no masks: neither {where / MASKS_FILE} nor PNGs lie in {where}; run `vlt prepare` again, "
            "or copy the masks folder beside the annotations."
        )
    without = [segment_id for segment_id, own in keys.items() if any(key not in targets for key in own)]
    if without:
        raise DataError(
            f"{where} has no mask for segment_id {_first_ids(without)} ({len(without)} of {len(annotations)} are "
            "missing); run `vlt prepare` again."
        )
    return keys, targets


def _read_masks(folder: Path) -> tuple[Path, dict[str, RLE | Path]]:
    """Read the compact file or, where there is none, list the PNGs: where they lie, and the masks by their keys."""
    path = folder / MASKS_FILE
    if not path.exists():
        return folder, {png.stem: png for png in folder.glob("*.png")}
    try:
        masks = _Masks.model_validate_json(gzip.decompress(read_bytes(path))).masks
    except ValidationError as error:
        raise malformed(path, error, "run `vlt prepare` again") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); run `vlt prepare` again.") from None
    return path, {key: RLE(size=list(rle.size), counts=rle.counts) for key, rle in masks.items()}


def _first_ids(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
