"""Reader of Ref-DAVIS17 as published: DAVIS 2017 at 480p, and text files with the expressions of two annotators.

<root>/davis_text_annotations/Davis17_annot1.txt        a line per object: bear 1 "a brown bear", about its first frame
<root>/davis_text_annotations/Davis17_annot1_full_video.txt                               ..., about the whole video
<root>/davis_text_annotations/Davis17_annot2.txt, Davis17_annot2_full_video.txt
<root>/DAVIS/ImageSets/2017/train.txt, val.txt          names of the videos of each split
<root>/DAVIS/JPEGImages/480p/<video>/<frame>.jpg
<root>/DAVIS/Annotations_unsupervised/480p/<video>/<frame>.png     or Annotations/480p/...
<root>/DAVIS/davis_semantics.json                       categories of the objects, where it exists

Source: Khoreva et al., Video Object Segmentation with Language Referring Expressions, 2018
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from vlt.errors import DataError
from vlt.files import read_bytes, read_json
from vlt.prepare.published.video_files import Video, VideoExpression, VideoSplit, existing_folder
from vlt.prepare.published.video_masks import PaletteMasks

TEXTS = "davis_text_annotations"
"""Folder of the text files."""
LINE = re.compile(r"(?P<video>\S+)\s+(?P<object>\d+)\s+(?P<text>.+)")
"""Line of a text file."""
QUOTES = ' "“”'
"""Characters around an expression that are no part of it."""
MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
"""Names of videos in the published text files -> names of their folders."""


def find_davis_splits(root: Path) -> dict[str, Path]:
    """Find the files with the names of the videos of each split; none in another layout."""
    if not (root / TEXTS).is_dir():
        return {}
    paths = {split: davis_folder(root) / "ImageSets" / "2017" / f"{split}.txt" for split in ("train", "val")}
    return {split: path for split, path in paths.items() if path.is_file()}


def davis_folder(root: Path) -> Path:
    """Path of the folder of DAVIS: below the root, or the root itself."""
    return root / "DAVIS" if (root / "DAVIS").is_dir() else root


def read_davis_split(root: Path, path: Path) -> VideoSplit:
    """Read the videos of a split, with the expressions of all text files that exist.

    Args:
        root: the folder of the data set.
        path: the file with the names of the videos, see `find_davis_splits`.

    Raises:
        DataError: a file is missing or not of the format; there is no folder of frames or masks.
    """
    davis = davis_folder(root)
    images = existing_folder(davis / "JPEGImages" / "480p", "frames")
    masks = davis / "Annotations_unsupervised" / "480p"
    masks = existing_folder(masks if masks.is_dir() else davis / "Annotations" / "480p", "masks")
    texts = sorted((root / TEXTS).glob("Davis17_annot*.txt"))
    if not texts:
        raise DataError(f"{root / TEXTS} holds no file Davis17_annot*.txt; unpack the text annotations there.")
    about = read_texts(texts)
    videos = [
        Video(
            name,
            sorted(frame.stem for frame in (images / name).glob("*.jpg")),
            [VideoExpression(str(number), text, (key,)) for number, (key, text) in enumerate(about.get(name, []))],
        )
        for name in read_lines_of(path)
        if name.strip()
    ]
    return VideoSplit(path.stem, videos, images, PaletteMasks(masks), read_semantics(davis / "davis_semantics.json"))


def read_texts(paths: list[Path]) -> dict[str, list[tuple[str, str]]]:
    """Read text files with an object and an expression per line.

    Returns:
        Per video the object and the text of each expression, sorted by object, then in the order of the files.

    Raises:
        DataError: a file cannot be read; a line is not of the format.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path in paths:
        for number, line in enumerate(read_lines_of(path), 1):
            if not line.strip():
                continue
            parts = LINE.fullmatch(line.strip())
            if parts is None:
                raise DataError(f'{path}, line {number}: a line has the form bear 1 "a brown bear"; correct it.')
            video = MISSPELT.get(parts["video"], parts["video"])
            found.setdefault(video, []).append((parts["object"], parts["text"].strip(QUOTES)))
    return {video: sorted(own, key=lambda each: int(each[0])) for video, own in found.items()}


def read_lines_of(path: Path) -> list[str]:
    """Read the lines of a text file in UTF-8 or, as one of the published ones, in Windows-1252.

    Raises:
        DataError: it cannot be read, or is a pointer of Git LFS.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").splitlines()


def read_semantics(path: Path) -> Mapping[tuple[str, str], str]:
    """Read the categories of objects by video and object id; none where there is no such file.

    Raises:
        DataError: the file cannot be read, or is not of the format.
    """
    if not path.exists():
        return {}
    videos = read_json(path, TypeAdapter(dict[str, dict[str, str]]), "an object of videos and objects is needed")
    return {(video, key): noun for video, own in videos.items() for key, noun in own.items()}
