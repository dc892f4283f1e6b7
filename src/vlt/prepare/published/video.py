"""Preparing referring video sets frame by frame: annotations, masks, and the report of what was found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from vlt.categories import COCO_CATEGORIES
from vlt.data.masks import join_boxes
from vlt.data.prepared import annotation_folder, split_names
from vlt.errors import ConfigError, DataError
from vlt.prepare.folder import refuse_other, write_data_set
from vlt.prepare.instances import OUTCOME, Missing, misfit, missing_images
from vlt.prepare.own.annotated import plain_noun
from vlt.prepare.published.davis import TEXTS, find_davis_splits, read_davis_split
from vlt.prepare.published.refer_set import EMPTY_SENTENCE, NO_SPLIT
from vlt.prepare.published.video_files import (
    EXPRESSIONS,
    Video,
    VideoExpression,
    VideoSplit,
    find_expressions,
    read_split,
)
from vlt.prepare.published.video_masks import FrameMasks, Masks
from vlt.prepare.report import DefectKind, Defects, PrepareReport
from vlt.prepare.splits import check_name, check_split
from vlt.text.words import is_visible
from vlt.types import NO_CATEGORY, Expression, Referral

MISSING_PHOTO = DefectKind("missing photo", "frame", OUTCOME)
REPEATED_FRAME = DefectKind("repeated frame", "frame", "all but the first left out")
NO_FRAME = DefectKind("video without a usable frame", "video", OUTCOME)
NO_EXPRESSION = DefectKind("video without a usable expression", "video", OUTCOME)
NO_OBJECT = DefectKind("expression without an object", "expression", OUTCOME)

NOT_PUBLIC = (
    "its expressions do not state their objects, because its masks are not public and its predictions are scored by "
    "the server of the benchmark"
)


class Frame(NamedTuple):
    """A usable frame: its name, and the objects in it."""

    name: str
    found: FrameMasks


class VideoReader:
    """Turns the videos of a split into referrals of their frames and records the defects.

    The expressions about the same objects of a frame are one referral. An expression has the same `sent_id` in all
    frames of its video.

    Args:
        split: the split.
        masks: its masks.
        every: distance of the frames that are taken, 1 for all.
        ids: gives the ids of referrals and of expressions, each once in a data set.
        categories: index of each category, by its name.
        defects: receives those that are found.
    """

    def __init__(
        self,
        split: VideoSplit,
        masks: Masks,
        *,
        every: int,
        ids: tuple[Iterator[int], Iterator[int]],
        categories: Mapping[str, int],
        defects: Defects,
    ) -> None:
        self._split, self._masks, self._every = split, masks, every
        self._ref_ids, self._sent_ids = ids
        self._categories, self._defects = categories, defects

    def read(self) -> list[Referral]:
        """Make the referrals of all videos, those of a frame side by side.

        Raises:
            DataError: a mask is a pointer of Git LFS.
        """
        taken = {video.name: self.take_frames(video) for video in self._split.videos}
        photos = [f"{video}/{frame}.jpg" for video, frames in taken.items() for frame in frames.values()]
        missing = missing_images(self._split.images, photos)
        referrals: list[Referral] = []
        for video in tqdm(self._split.videos, desc=self._split.name, unit="video", disable=None):
            frames = self.read_frames(video, taken[video.name], missing)
            expressions = self.choose_expressions(video, frames)
            if frames and expressions:
                referrals += self.make_referrals(video, frames, expressions)
            else:
                self.report(NO_EXPRESSION if frames else NO_FRAME, video.name)
        return referrals

    def report(self, kind: DefectKind, which: str, reason: str = "", example: str = "") -> None:
        """Record the defect of a video, or of a frame or expression as video/frame or video/expression."""
        self._defects.add(kind, f"{self._split.name}/{which}", reason, example)

    def take_frames(self, video: Video) -> dict[int, str]:
        """Choose the frames of a video: their names by their index among all; repeated ones are recorded."""
        taken: dict[int, str] = {}
        names = set()
        for place in range(0, len(video.frames), self._every):
            frame = video.frames[place]
            if frame in names:
                self.report(REPEATED_FRAME, f"{video.name}/{frame}")
            else:
                taken[place] = frame
            names.add(frame)
        return taken

    def read_frames(self, video: Video, taken: Mapping[int, str], missing: Mapping[str, Missing]) -> list[Frame]:
        """Read the masks of the frames of a video; frames that cannot be used are recorded.

        Args:
            video: the video.
            taken: names of the frames, by their index among all.
            missing: photos that do not exist.

        Raises:
            DataError: a mask is a pointer of Git LFS.
        """
        objects = {key for each in video.expressions for key in each.objects}
        frames = []
        for place, frame in taken.items():
            photo = f"{video.name}/{frame}.jpg"
            if photo in missing:
                self.report(MISSING_PHOTO, f"{video.name}/{frame}", missing[photo].reason, missing[photo].example)
                continue
            found = self._masks.read(video.name, video.frames, place, objects)
            if not isinstance(found, FrameMasks):
                self.report(found[0], f"{video.name}/{frame}", found[1])
            elif found.size and (fault := misfit(self._split.images / photo, found.size, "frame")):
                self.report(fault[0], f"{video.name}/{frame}", fault[1])
            else:
                frames.append(Frame(frame, found))
        return frames

    def choose_expressions(self, video: Video, frames: Iterable[Frame]) -> list[VideoExpression]:
        """Return the expressions whose objects have masks in the video; the others are recorded."""
        seen = {key for frame in frames for key in frame.found.objects}
        unseen = {key for each in video.expressions for key in each.objects} - seen
        faults = {key: self._masks.why_absent(video.name, video.frames, key) for key in sorted(unseen)}
        chosen = []
        for each in video.expressions:
            fault = next((found for key in each.objects if (found := faults.get(key))), None)
            if not each.objects:
                self.report(NO_OBJECT, f"{video.name}/{each.id}")
            elif fault is not None:
                self.report(fault[0], f"{video.name}/{each.id}", fault[1])
            else:
                chosen.append(each)
        return chosen

    def make_referrals(
        self, video: Video, frames: Iterable[Frame], expressions: Iterable[VideoExpression]
    ) -> Iterator[Referral]:
        """Make a referral per frame and objects; the objects that are not in the frame are no targets of it."""
        groups: dict[tuple[str, ...], list[Expression]] = {}
        for each in expressions:
            expression = Expression(next(self._sent_ids), each.text)
            groups.setdefault(each.objects, []).append(expression)
            if not is_visible(each.text):
                self._defects.add(EMPTY_SENTENCE, expression.sent_id)
        for frame in frames:
            for objects, own in groups.items():
                present = {key: frame.found.objects[key] for key in objects if key in frame.found.objects}
                nouns = [plain_noun(self._split.categories.get((video.name, key), "")) for key in present]
                yield Referral(
                    ref_id=next(self._ref_ids),
                    image=self._split.images / video.name / f"{frame.name}.jpg",
                    targets=tuple(each.rle for each in present.values()),
                    expressions=tuple(own),
                    category=self._categories.get(nouns[0], NO_CATEGORY) if nouns else NO_CATEGORY,
                    box=join_boxes([each.box for each in present.values()]),
                )


def describe(split: str, referrals: Sequence[Referral]) -> str:
    """Count the videos, the expressions and the pairs of a frame and an expression of a split, in one sentence."""
    videos = {each.image.parent for each in referrals if isinstance(each.image, Path)}
    pairs = [(expression.sent_id, bool(each.targets)) for each in referrals for expression in each.expressions]
    absent = sum(not has_target for _, has_target in pairs)
    return (
        f"{split}: videos: {len(videos):,}; expressions: {len({sent_id for sent_id, _ in pairs}):,}; pairs of a frame "
        f"and an expression: {len(pairs):,}, of which {absent:,} without a target."
    )


def prepare_video(
    root: Path,
    output_dir: Path,
    *,
    name: str,
    splits: Sequence[str] = (),
    every: int = 1,
    generate_mask: bool = False,
) -> PrepareReport:
    """Prepare a referring video set: annotations and masks of its frames, and `prepare.json` with the report.

    Args:
        root: the folder of the data set: Ref-YouTube-VOS, Ref-DAVIS17 or MeViS, recognised by its files.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        splits: names of the splits to prepare; none: all whose masks are public.
        every: distance of the frames that are taken, at least 1; 1 takes all.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `name` is no plain name; `every` is less than 1.
        DataError: no known layout; a file is missing or malformed; a split that does not exist, or whose masks are not
            public; no expression that can be used; a folder or file cannot be written; the folder of that name holds a
            data set that was made in another way.
    """
    check_name(name)
    if every < 1:
        raise ConfigError(f"every is {every}, but the distance of the frames that are taken is at least 1.")
    found = find_splits(root)
    for split in splits:
        if split not in found:
            raise DataError(f"{root} has no split {split!r}; it has {', '.join(found)}.")
    read = [found[split]() for split in found if split in splits or not splits]
    hidden = [part.name for part in read if part.masks is None]
    if hidden and (splits or len(hidden) == len(read)):
        raise DataError(f"{hidden[0]} of {root} cannot be prepared: {NOT_PUBLIC}; prepare another split.")
    source = {"video": str(root), "splits": [part.name for part in read if part.masks is not None], "every": every}
    refuse_other(annotation_folder(output_dir, name), source)
    nouns = {plain_noun(noun) for part in read for noun in part.categories.values()}
    categories = COCO_CATEGORIES + tuple(sorted(nouns - set(COCO_CATEGORIES))) if nouns else ()
    indices = {noun: index for index, noun in enumerate(categories)}
    defects, ids = Defects(), (itertools.count(), itertools.count())
    prepared = {}
    for part in read:
        if part.masks is not None:
            reader = VideoReader(part, part.masks, every=every, ids=ids, categories=indices, defects=defects)
            prepared[part.name] = reader.read()
            if not prepared[part.name]:
                defects.add(NO_SPLIT, part.name)
    prepared = {split: referrals for split, referrals in prepared.items() if referrals}
    if not prepared:
        raise DataError(f"No expression of {root} can be used: {defects.summary()}.")
    notes = [describe(split, referrals) for split, referrals in prepared.items()]
    notes.append(f"Images are named relative to {root}, which is data.images of a configuration.")
    notes += [f"{split} was left out: {NOT_PUBLIC}." for split in hidden]
    notes += [f"One frame in {every} was taken."] if every > 1 else []
    notes += [] if nouns else ["No file states the categories of the objects, so that all are -1."]
    return write_data_set(
        output_dir,
        name,
        prepared,
        source=source,
        images=root,
        defects=defects,
        categories=categories,
        generate_mask=generate_mask,
        notes=notes,
        replaced=split_names(output_dir, name),
    )


def find_splits(root: Path) -> Mapping[str, Callable[[], VideoSplit]]:
    """Recognise the layout of a data set.

    Args:
        root: the folder of the data set.

    Returns:
        Per split a function that reads it.

    Raises:
        DataError: none of the layouts.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; name the one that holds the data set.")
    if found := find_expressions(root):
        for split, path in found.items():
            check_split(path, split)
        return {split: partial(read_split, root, path) for split, path in found.items()}
    if found := find_davis_splits(root):
        return {split: partial(read_davis_split, root, path) for split, path in found.items()}
    raise DataError(
        f"{root} has none of the layouts that are read: {EXPRESSIONS}/SPLIT/{EXPRESSIONS}.json as in Ref-YouTube-VOS, "
        f"SPLIT/{EXPRESSIONS}.json as in MeViS, or {TEXTS}/ beside DAVIS/ImageSets/2017/ as in Ref-DAVIS17; name the "
        "folder that holds them."
    )
