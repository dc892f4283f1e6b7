"""Prepared data sets: annotations in the original's schema, and masks as run lengths in one file or as its PNGs.

<root>/anns/<dataset>/<split>.json       what is meant, one entry per referral
<root>/masks/<dataset>/masks.json.gz     {"format": 1, "masks": {segment_id: run lengths}}, or
<root>/masks/<dataset>/<segment_id>.png  8-bit grey, the object where > 0
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import numpy as np
from PIL import Image as PILImage
from pydantic import Field, PositiveInt, TypeAdapter, ValidationError, model_validator

from vlt.data.masks import encode_rle, read_target, rle_box
from vlt.data.records import Record, malformed
from vlt.errors import DataError
from vlt.files import make_folder, replacing
from vlt.types import RLE, Expression, Referral, Standing

MASKS_FILE = "masks.json.gz"
PNG_WRITERS = 8
"""Threads that write PNGs: most of the time goes into waiting for the disk to have each."""

Z_RLE = 3
"""zlib's strategy for images with long runs."""

NO_BOX = (0.0, 0.0, 0.0, 0.0)
"""The box of a referral that means nothing in its photo."""


class _Sentence(Record):
    sent_id: int
    sent: str


class _Standing(Record):
    same: PositiveInt
    rank: PositiveInt

    @model_validator(mode="after")
    def _one_of_them(self) -> _Standing:
        if self.rank > self.same:
            raise ValueError(f"rank {self.rank} of {self.same}")
        return self


class _Annotation(Record):
    bbox: tuple[float, float, float, float]
    cat: int
    segment_id: int
    img_name: Annotated[str, Field(min_length=1)]
    sentences: Annotated[list[_Sentence], Field(min_length=1)]
    sentences_num: int
    standing: _Standing | None = None


class _RunLengths(Record):
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    counts: str


class _Masks(Record):
    format: Literal[1]
    masks: dict[str, _RunLengths]


_ANNOTATIONS = TypeAdapter(list[_Annotation])
_MASKS = TypeAdapter(_Masks)
_Parsed = TypeVar("_Parsed")
_Targets: TypeAlias = dict[int, RLE | Path]


def annotation_folder(root: Path, dataset: str) -> Path:
    """Where the annotations of `dataset` lie."""
    return root / "anns" / dataset


def mask_folder(root: Path, dataset: str) -> Path:
    """Where the masks of `dataset` lie."""
    return root / "masks" / dataset


# ---------------------------------------------------------------- writing


def write_prepared(
    output_dir: Path,
    dataset: str,
    splits: Mapping[str, Sequence[Referral]],
    *,
    generate_mask: bool,
    images: Path | None = None,
) -> None:
    """Writes the annotations of each split and the masks of all; each file appears whole or not at all.

    Masks come first, so that annotations never speak of masks that are not there yet. Of the two kinds of masks
    only the one asked for is written; a `masks.json.gz` that stood there gives way to PNGs.

    Args:
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        dataset: name of the folders under both.
        splits: the referrals of each split; their photos are paths.
        generate_mask: PNGs, as the original's script writes, in place of run lengths.
        images: photos in this folder are named relative to it; others, and all for None, as they stand.

    Raises:
        DataError: a folder or file cannot be made.
    """
    make_folder(annotation_folder(output_dir, dataset))
    make_folder(mask_folder(output_dir, dataset))
    referrals = {each.ref_id: each for split in splits.values() for each in split}.values()  # some are in two splits
    write_masks = _write_pngs if generate_mask else _write_run_lengths
    write_masks(mask_folder(output_dir, dataset), referrals)
    for split, members in splits.items():
        with replacing(annotation_folder(output_dir, dataset) / f"{split}.json") as file:
            file.write(json.dumps([_annotation(referral, images) for referral in members]).encode())


def _write_run_lengths(folder: Path, referrals: Iterable[Referral]) -> None:
    masks = {str(referral.ref_id): _run_lengths(referral) for referral in referrals}
    with replacing(folder / MASKS_FILE) as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(json.dumps({"format": 1, "masks": masks}).encode())


def _write_pngs(folder: Path, referrals: Iterable[Referral]) -> None:
    with ThreadPoolExecutor(PNG_WRITERS) as pool:
        for _ in pool.map(partial(_write_png, folder), referrals):  # an error here calls off the rest
            pass
    (folder / MASKS_FILE).unlink(missing_ok=True)


def _write_png(folder: Path, referral: Referral) -> None:
    image = PILImage.fromarray(read_target(referral.target).astype(np.uint8) * 255)
    with replacing(folder / f"{referral.ref_id}.png") as file:
        image.save(file, format="png", compress_level=1, compress_type=Z_RLE)  # quick, and small for masks


def _run_lengths(referral: Referral) -> RLE:
    target = referral.target
    return target if isinstance(target, dict) else encode_rle(read_target(target))


def _annotation(referral: Referral, images: Path | None) -> dict[str, Any]:
    """One entry of the original's schema; beside its keys the standing, where it is known."""
    if not isinstance(referral.image, Path):
        raise DataError(f"Referral {referral.ref_id} has a photo in memory; only photos in files can be prepared.")
    photo = referral.image
    if images and photo.is_relative_to(images):
        photo = photo.relative_to(images)
    box = referral.box or rle_box(_run_lengths(referral)) or NO_BOX
    return {
        "bbox": [int(side) for side in box],
        "cat": referral.category,
        "segment_id": referral.ref_id,
        "img_name": photo.as_posix(),
        "sentences": [
            {"idx": index, "sent_id": expression.sent_id, "sent": expression.text}
            for index, expression in enumerate(referral.expressions)
        ],
        "sentences_num": len(referral.expressions),
        **({"standing": asdict(referral.standing)} if referral.standing else {}),
    }


# ---------------------------------------------------------------- reading


def read_prepared(root: Path, dataset: str, split: str, images: Path) -> list[Referral]:
    """Reads a prepared split, ours or the original script's, and sees to it that all its masks and photos are there.

    Args:
        root: the folder with `anns/` and `masks/`.
        dataset: name of the folders under both.
        split: such as "train".
        images: the folder with the photos.

    Returns:
        The referrals in the file's order; targets are run lengths, or paths of PNGs where there is no compact file.

    Raises:
        DataError: no such data set or split; a file that is damaged or not of the schema; no masks, or one that is
            missing; a photo that is missing.
    """
    path = annotation_folder(root, dataset) / f"{split}.json"
    annotations = _read_annotations(path)
    targets = _find_targets(mask_folder(root, dataset), annotations, path)
    _refuse_missing_photos(annotations, images, path)
    return [_referral(annotation, targets[annotation.segment_id], images) for annotation in annotations]


def photos_of_other_splits(root: Path, dataset: str, split: str) -> set[str]:
    """What photos of all splits but one are called, as under the folder of photos.

    Raises:
        DataError: a file that is damaged or not of the schema.
    """
    files = (path for path in annotation_folder(root, dataset).glob("*.json") if path.stem not in (split, "prepare"))
    return {annotation.img_name for path in files for annotation in _read_annotations(path)}


def _referral(annotation: _Annotation, target: RLE | Path, images: Path) -> Referral:
    return Referral(
        ref_id=annotation.segment_id,
        image=images / annotation.img_name,
        target=target,
        expressions=tuple(Expression(sentence.sent_id, sentence.sent) for sentence in annotation.sentences),
        category=annotation.cat,
        box=None if annotation.bbox == NO_BOX else annotation.bbox,
        standing=Standing(**annotation.standing.model_dump()) if annotation.standing else None,
    )


def _read_annotations(path: Path) -> list[_Annotation]:
    annotations = _parse(_ANNOTATIONS, _read(path), path)
    if not annotations:
        raise DataError(f"{path} holds no referrals; run `vlt prepare` again.")
    seen: set[int] = set()
    for annotation in annotations:
        if annotation.segment_id in seen:
            raise DataError(f"{path}: segment_id {annotation.segment_id} stands there twice; run `vlt prepare` again.")
        if annotation.sentences_num != len(annotation.sentences):
            raise DataError(
                f"{path}: segment_id {annotation.segment_id} announces {annotation.sentences_num} sentences but has "
                f"{len(annotation.sentences)}; run `vlt prepare` again."
            )
        seen.add(annotation.segment_id)
    return annotations


def _read(path: Path) -> bytes:
    """The annotation file's bytes; where there is none, says what there is."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        splits = sorted(other.stem for other in path.parent.glob("*.json") if other.stem != "prepare")
        there = f"the splits there are {', '.join(splits)}" if splits else f"run `vlt prepare` to make {path.parent}"
        raise DataError(f"There is no {path}; {there}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _find_targets(folder: Path, annotations: Sequence[_Annotation], path: Path) -> _Targets:
    """The target of each annotation: from the compact file where there is one, else PNGs."""
    if (folder / MASKS_FILE).exists():
        return _pick(_read_masks(folder / MASKS_FILE), annotations, folder / MASKS_FILE)
    pngs: _Targets = {int(png.stem): png for png in folder.glob("*.png") if png.stem.isdecimal()}
    if not pngs:
        raise DataError(
            f"{path} has no masks: neither {folder / MASKS_FILE} nor PNGs lie in {folder}; run `vlt prepare` again, "
            "or copy the masks folder beside the annotations."
        )
    return _pick(pngs, annotations, folder)


def _pick(targets: _Targets, annotations: Sequence[_Annotation], where: Path) -> _Targets:
    missing = [annotation.segment_id for annotation in annotations if annotation.segment_id not in targets]
    if missing:
        raise DataError(
            f"{where} has no mask for segment_id {_some(missing)} ({len(missing)} of {len(annotations)} are missing); "
            "run `vlt prepare` again."
        )
    return targets


def _read_masks(path: Path) -> _Targets:
    try:
        packed = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); run `vlt prepare` again.") from None
    masks = _parse(_MASKS, packed, path).masks
    if not all(key.isdecimal() for key in masks):
        raise DataError(f"{path}: a mask's key is no number; run `vlt prepare` again.")
    return {int(key): RLE(size=list(rle.size), counts=rle.counts) for key, rle in masks.items()}


def _refuse_missing_photos(annotations: Sequence[_Annotation], images: Path, path: Path) -> None:
    if not images.is_dir():
        raise DataError(f"There is no folder of photos {images}; name the one with {annotations[0].img_name} in it.")
    names = sorted({annotation.img_name for annotation in annotations})
    missing = [name for name in names if not (images / name).is_file()]
    if missing:
        ids = [annotation.segment_id for annotation in annotations if annotation.img_name == missing[0]]
        raise DataError(
            f"{images} lacks {len(missing)} of the {len(names)} photos of {path}, the first {missing[0]} "
            f"(segment_id {_some(ids)}); add them, or run `vlt prepare` again to leave them out."
        )


def _some(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")


def _parse(adapter: TypeAdapter[_Parsed], text: bytes, path: Path) -> _Parsed:
    """JSON to records, the first fault in one sentence."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise malformed(path, error, "run `vlt prepare` again") from None
