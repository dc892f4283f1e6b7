"""Masks of the objects of videos: PNGs with an object id per pixel, or run lengths per annotation and frame."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image as PILImage
from pydantic import PositiveInt, TypeAdapter

from vlt.data.masks import decode_rle, encode_rle, mask_box, read_run_lengths
from vlt.errors import DataError
from vlt.files import JsonObject, read_bytes, read_json
from vlt.prepare.instances import OUTCOME
from vlt.prepare.report import DefectKind
from vlt.types import RLE, Box, Mask, Size

MISSING_MASK = DefectKind("missing mask", "frame", OUTCOME)
UNREADABLE_MASK = DefectKind("unreadable mask", "frame", OUTCOME)
NO_MASK = DefectKind("object that no mask of the video has", "expression", OUTCOME)
MISSING_ANNOTATION = DefectKind("missing annotation", "expression", OUTCOME)
OTHER_LENGTH = DefectKind("annotation of another number of frames", "expression", OUTCOME)

Fault: TypeAlias = tuple[DefectKind, str]
"""Kind and reason of a defect."""


class ObjectMask(NamedTuple):
    """An object in one frame: its mask and the box around it, xyxy in pixels."""

    rle: RLE
    box: Box


class FrameMasks(NamedTuple):
    """Objects in one frame.

    Attributes:
        size: (height, width) of the masks in pixels; None where no mask of the video is known.
        objects: those that are in the frame, by their ids.
    """

    size: Size | None
    objects: Mapping[str, ObjectMask]


class RunLengths(JsonObject):
    """A mask as COCO's run lengths."""

    size: tuple[PositiveInt, PositiveInt]
    counts: str | list[int]


class PaletteMasks:
    """Masks as PNGs <folder>/<video>/<frame>.png, of which each pixel is the id of an object, 0 for none.

    Args:
        folder: the folder with a folder per video.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, video: str, frames: Sequence[str], place: int, objects: Collection[str]) -> FrameMasks | Fault:
        """Read the masks of a frame.

        Args:
            video: name of the video.
            frames: names of all its frames.
            place: index of the frame.
            objects: ids of the objects to read.

        Returns:
            The masks, or the defect for which the frame is left out.

        Raises:
            DataError: the file is a pointer of Git LFS.
        """
        path = self.folder / video / f"{frames[place]}.png"
        try:
            with PILImage.open(io.BytesIO(read_bytes(path))) as image:
                if image.mode not in ("P", "L"):
                    return UNREADABLE_MASK, f"{image.mode} and not an object id per pixel; export it with a palette"
                ids = np.asarray(image)
        except FileNotFoundError:
            return MISSING_MASK, ""
        except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError):
            return UNREADABLE_MASK, ""
        height, width = ids.shape
        masks = {each: measure(ids == int(each)) for each in objects if each.isdecimal() and 0 < int(each) < 256}
        return FrameMasks((height, width), {each: mask for each, mask in masks.items() if mask})

    def why_absent(self, video: str, frames: Sequence[str], wanted: str) -> Fault | None:
        """Decide why an object is in no frame that was read.

        Args:
            video: name of the video.
            frames: names of all its frames.
            wanted: id of the object.

        Returns:
            The defect for which its expressions are left out; None where it is in another frame.
        """
        for place in range(len(frames)):
            found = self.read(video, frames, place, [wanted])
            if isinstance(found, FrameMasks) and found.objects:
                return None
        return NO_MASK, ""


class RunLengthMasks:
    """Masks as run lengths in one file, {"<annotation id>": [run lengths or null, per frame]}.

    Args:
        path: path of the file.

    Raises:
        DataError: it is missing or not of the format.
    """

    def __init__(self, path: Path) -> None:
        remedy = "an object of annotation ids is needed, each with a list of run lengths or null per frame"
        self._masks = read_json(path, TypeAdapter(dict[str, list[RunLengths | None]]), remedy)

    def read(self, video: str, frames: Sequence[str], place: int, objects: Collection[str]) -> FrameMasks | Fault:
        """Read the masks of a frame, see `PaletteMasks.read`; an annotation of another number of frames has none."""
        lists = {each: self._masks.get(each, []) for each in objects}
        lists = {each: own for each, own in lists.items() if len(own) == len(frames)}
        given = {each: own[place] for each, own in lists.items()}
        others = (part for own in lists.values() for part in own)
        size = next((part.size for part in (*given.values(), *others) if part), None)
        masks = {}
        for each, part in given.items():
            if part and size:
                try:
                    rle = read_run_lengths({"size": list(part.size), "counts": part.counts}, size)
                    masks[each] = measure(decode_rle(rle))
                except DataError as error:
                    return UNREADABLE_MASK, str(error).rstrip(".")
        return FrameMasks(size, {each: mask for each, mask in masks.items() if mask})

    def why_absent(self, video: str, frames: Sequence[str], wanted: str) -> Fault | None:
        """Decide why an object is in no frame that was read, see `PaletteMasks.why_absent`."""
        own = self._masks.get(wanted)
        if own is None:
            return MISSING_ANNOTATION, ""
        if len(own) != len(frames):
            return OTHER_LENGTH, "the list of masks has one entry per frame of the video; download both files again"
        return None if any(own) else (NO_MASK, "")


def measure(mask: Mask) -> ObjectMask | None:
    """Encode a mask (H, W) bool and compute its box; None where it is empty."""
    box = mask_box(mask)
    return None if box is None else ObjectMask(encode_rle(mask), box)


Masks: TypeAlias = PaletteMasks | RunLengthMasks
"""Masks of the videos of a split."""
