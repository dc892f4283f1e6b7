"""Files of referring video sets: their layouts, and the videos of a split with frames, expressions and categories.

Ref-YouTube-VOS, and Ref-DAVIS17 after the usual conversion:

<root>/meta_expressions/<split>/meta_expressions.json
<root>/<split>/JPEGImages/<video>/<frame>.jpg
<root>/<split>/Annotations/<video>/<frame>.png      the id of an object per pixel
<root>/<split>/meta.json                            categories of the objects

MeViS:

<root>/<split>/meta_expressions.json
<root>/<split>/JPEGImages/<video>/<frame>.jpg
<root>/<split>/mask_dict.json                       annotation id -> run lengths or null per frame

Sources: https://github.com/wjn922/ReferFormer and https://github.com/henghuiding/MeViS
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

from pydantic import Field, TypeAdapter

from vlt.errors import DataError
from vlt.files import JsonObject, read_json
from vlt.prepare.instances import Id
from vlt.prepare.published.video_masks import Masks, PaletteMasks, RunLengthMasks

EXPRESSIONS = "meta_expressions"
"""Name of the files with the expressions, and of their folder in Ref-YouTube-VOS."""
REMEDY = "a file of videos is needed, each with expressions and frames"

PlainName: TypeAlias = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]
"""Name of a folder or file that is no path."""


class ExpressionEntry(JsonObject):
    """An expression about a video; the ids of its objects, or of their annotations, are missing where not public."""

    exp: str
    obj_id: Id | list[Id] | None = None
    anno_id: Id | list[Id] | None = None


class VideoEntry(JsonObject):
    """Expressions about a video by their ids, and the names of its frames."""

    expressions: dict[str, ExpressionEntry]
    frames: list[PlainName]


class ExpressionFile(JsonObject):
    """All videos of a split, by name."""

    videos: dict[PlainName, VideoEntry]


class ObjectEntry(JsonObject):
    """An object of a video."""

    category: str | None = None


class ObjectsEntry(JsonObject):
    """Objects of a video, by id."""

    objects: dict[str, ObjectEntry] = Field(default_factory=dict)


class ObjectFile(JsonObject):
    """Categories of the objects of all videos."""

    videos: dict[str, ObjectsEntry]


class VideoExpression(NamedTuple):
    """An expression about a video.

    Attributes:
        id: id within the video.
        text: the expression, stripped.
        objects: ids of the objects that it refers to; empty where they are not stated.
    """

    id: str
    text: str
    objects: tuple[str, ...]


class Video(NamedTuple):
    """A video.

    Attributes:
        name: name of its folder.
        frames: names of its frames, without endings.
        expressions: expressions about it.
    """

    name: str
    frames: list[str]
    expressions: list[VideoExpression]


class VideoSplit(NamedTuple):
    """A split of a referring video set.

    Attributes:
        name: its name.
        videos: its videos.
        images: the folder with a folder of frames per video.
        masks: the masks of its objects; None where no expression states its objects.
        categories: names of categories by video and object, as far as they are known.
    """

    name: str
    videos: list[Video]
    images: Path
    masks: Masks | None
    categories: Mapping[tuple[str, str], str]


def find_expressions(root: Path) -> dict[str, Path]:
    """Find the files with the expressions of each split, in the layout of Ref-YouTube-VOS or MeViS; none in others."""
    found = sorted(root.glob(f"{EXPRESSIONS}/*/{EXPRESSIONS}.json")) or sorted(root.glob(f"*/{EXPRESSIONS}.json"))
    return {path.parent.name: path for path in found}


def read_split(root: Path, path: Path) -> VideoSplit:
    """Read the videos of a split in the layout of Ref-YouTube-VOS or MeViS.

    Args:
        root: the folder of the data set.
        path: the file with the expressions, see `find_expressions`.

    Raises:
        DataError: a file is missing or not of the format; there is no folder of frames or masks.
    """
    name = path.parent.name
    entries = read_json(path, TypeAdapter(ExpressionFile), REMEDY).videos
    folder = root / name if (root / name / "JPEGImages").is_dir() else root
    images = folder / "JPEGImages"
    expressions = [each for video in entries.values() for each in video.expressions.values()]
    masks: Masks | None = None
    if by_annotation := any(each.anno_id is not None for each in expressions):
        masks = RunLengthMasks(folder / "mask_dict.json")
    elif any(each.obj_id is not None for each in expressions):
        masks = PaletteMasks(existing_folder(folder / "Annotations", f"masks of {name}"))
    if masks is not None:
        existing_folder(images, f"frames of {name}")
    videos = [
        Video(
            video,
            entry.frames,
            [
                VideoExpression(key, each.exp.strip(), as_ids(each.anno_id if by_annotation else each.obj_id))
                for key, each in entry.expressions.items()
            ],
        )
        for video, entry in entries.items()
    ]
    return VideoSplit(name, videos, images, masks, read_categories(folder / "meta.json"))


def existing_folder(folder: Path, content: str) -> Path:
    """Check that a folder of a data set exists.

    Args:
        folder: path of the folder.
        content: name of the content, for the message.

    Returns:
        The same path.

    Raises:
        DataError: there is none.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder} with the {content}; unpack it, or choose another --split.")
    return folder


def as_ids(given: Id | list[Id] | None) -> tuple[str, ...]:
    """Convert one id, a list of ids or none to texts, each once, sorted.

    Example:
        >>> as_ids([7, 3, 7]), as_ids("1"), as_ids(None)
        (('3', '7'), ('1',), ())
    """
    ids = given if isinstance(given, list) else [] if given is None else [given]
    return tuple(sorted({str(each) for each in ids}))


def read_categories(path: Path) -> dict[tuple[str, str], str]:
    """Read the categories of objects by video and object id; none where there is no such file.

    Raises:
        DataError: the file cannot be read, or is not of the format.
    """
    if not path.exists():
        return {}
    videos = read_json(path, TypeAdapter(ObjectFile), "a file of videos is needed, each with its objects").videos
    return {
        (video, key): each.category
        for video, entry in videos.items()
        for key, each in entry.objects.items()
        if each.category
    }
