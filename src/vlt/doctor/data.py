"""Checks of the data: splits, masks, photos, photos in two splits; and of the folder of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vlt.checkpoint.opened import listed
from vlt.config.data import ReferDataConfig, ShardsDataConfig, SyntheticDataConfig
from vlt.config.run import Config
from vlt.data.image import open_image
from vlt.data.prepared import SplitContent, mask_files, read_content
from vlt.data.row_groups import ShardImage
from vlt.data.shards import read_shards
from vlt.dataset import images_held_out
from vlt.doctor.diagnosis import Diagnosis, counted, divide
from vlt.errors import VLTError
from vlt.train.setup import RunFolder
from vlt.types import PackedImage

PREPARE = "prepare the data again (docs/data.md)"
"""Remedy of data whose error names none."""


class Split(NamedTuple):
    """A split that a run uses.

    Attributes:
        label: its name in lines and findings.
        dataset: name of its data set.
        name: name of the split.
        images: folder of its images.
    """

    label: str
    dataset: str
    name: str
    images: Path


def splits_of(config: ReferDataConfig) -> list[Split]:
    """List the splits that a run with prepared data uses: train, validation, then those that are mixed in."""
    names = dict.fromkeys((config.train_split, config.val_split))
    own = [Split(name, config.dataset, name, config.images) for name in names]
    mixed = (
        Split(f"{each.dataset}/{config.train_split}", each.dataset, config.train_split, each.images)
        for each in config.mixed_with
    )
    return [*own, *mixed]


def check_data(config: Config, diagnosis: Diagnosis, *, most: int | None) -> None:
    """Check that every split, mask and photo of a run is there and can be read, and that no photo is in two splits.

    Args:
        config: configuration of the run.
        diagnosis: receives the results.
        most: number of photos, and of masks in files of their own, that are opened; None: all. All are looked for.
    """
    data = config.data
    if isinstance(data, SyntheticDataConfig):
        for name, scenes in ((data.train_split, data.train_scenes), (data.val_split, data.val_scenes)):
            diagnosis.report("data", f"{name}: {counted(scenes, 'drawn scene')}", scenes=scenes)
        return
    if isinstance(data, ShardsDataConfig):
        check_shards(data, diagnosis)
        return
    contents: dict[Split, SplitContent] = {}
    photos: list[Path] = []
    for split in splits_of(data):
        content = check_split(data.root, split, diagnosis, most=most)
        if content is not None:
            contents[split] = content
            photos += find_photos(split, content, diagnosis)
    there = sorted(set(photos))
    opened, unreadable = check_files(there, "data photos", "photo", diagnosis, most=most)
    diagnosis.report(
        "photos",
        f"{counted(len(there), 'photo')} there, {opened:,} opened, {unreadable:,} of them unreadable",
        there=len(there),
        opened=opened,
        unreadable=unreadable,
    )
    check_overlap(data, contents, diagnosis)


def check_shards(config: ShardsDataConfig, diagnosis: Diagnosis) -> None:
    """Check the annotations of all shards, the first photo of each, and that no photo is in two splits."""
    photos: dict[str, set[PackedImage]] = {}
    for split in dict.fromkeys((config.train_split, config.val_split)):
        subject = f"data {split}"
        read = partial(read_shards, config.root, config.dataset, split, capacity=1)
        referrals = diagnosis.attempt(subject, read, PREPARE)
        if referrals is None:
            diagnosis.report("data", f"{split}: cannot be read")
            continue
        images = dict.fromkeys(each.image for each in referrals if isinstance(each.image, ShardImage))
        firsts = {image.block.file: image for image in reversed(images)}
        expressions = sum(len(each.expressions) for each in referrals)
        numbers = {"referral": len(referrals), "expression": expressions, "photo": len(images), "shard": len(firsts)}
        line = ", ".join(counted(number, noun) for noun, number in numbers.items())
        diagnosis.report("data", f"{split}: {line}", **{f"{noun}s": number for noun, number in numbers.items()})
        opened, unreadable = check_files([*firsts.values()], subject, "photo", diagnosis, most=None)
        diagnosis.report("photos", f"{split}: {opened:,} opened, the first of each shard, {unreadable:,} unreadable")
        photos[split] = set(images)
    train, val = ({image.name for image in photos.get(split, ())} for split in (config.train_split, config.val_split))
    if config.train_split != config.val_split and (shared := sorted(train & val)):
        diagnosis.find(
            "warning", "data leakage", *shared_photos(shared, len(val), config.val_split, config.train_split)
        )


def check_split(root: Path, split: Split, diagnosis: Diagnosis, *, most: int | None) -> SplitContent | None:
    """Check the annotations and the masks of a split, and count what it holds; None: the annotations are unusable."""
    subject = f"data {split.label}"
    content = diagnosis.attempt(subject, lambda: read_content(root, split.dataset, split.name), PREPARE)
    if content is None:
        diagnosis.report("data", f"{split.label}: cannot be read")
        return None
    counts = {"referral": content.referrals, "expression": content.expressions, "photo": len(content.images)}
    line = ", ".join(counted(number, noun) for noun, number in counts.items())
    values = {f"{noun}s": number for noun, number in counts.items()}
    diagnosis.report("data", f"{split.label}: {line}", **values)
    masks = diagnosis.attempt(subject, lambda: mask_files(root, split.dataset, split.name), PREPARE)
    check_files(masks or [], subject, "mask", diagnosis, most=most)
    return content


def find_photos(split: Split, content: SplitContent, diagnosis: Diagnosis) -> Iterator[Path]:
    """Yield the photos of a split that are there; those that are not become one finding."""
    missing = [name for name in content.images if not (split.images / name).is_file()]
    if missing:
        diagnosis.find(
            "error",
            f"data {split.label}",
            f"{split.images} lacks {len(missing):,} of the {counted(len(content.images), 'photo')}: {listed(missing)}.",
            "add them, or run `vlt prepare` again to leave them out",
        )
    yield from (split.images / name for name in content.images if name not in set(missing))


def check_files(
    paths: Sequence[Path | PackedImage], subject: str, noun: str, diagnosis: Diagnosis, *, most: int | None
) -> tuple[int, int]:
    """Open image files and read their headers; those that cannot be opened become one finding.

    Args:
        paths: the files, all of which exist, or images in shards.
        subject: see `Finding`.
        noun: name of a file.
        diagnosis: receives the finding.
        most: number of files that are opened, evenly spread over `paths`; None: all.

    Returns:
        The numbers of files opened, and of those that cannot be.
    """
    chosen = paths if most is None or len(paths) <= most else [paths[i * len(paths) // most] for i in range(most)]
    failed: dict[Path | PackedImage, VLTError] = {}
    for path in chosen:
        try:
            open_image(path).close()
        except VLTError as error:
            failed[path] = error
    if failed:
        first, *others = failed
        sentence, remedy = divide(str(failed[first]), "")
        names = [path.name if isinstance(path, PackedImage) else str(path) for path in others]
        also = f" Others: {listed(names)}." if names else ""
        diagnosis.find(
            "error",
            subject,
            f"{len(failed):,} of {counted(len(chosen), noun)} cannot be read. {sentence}{also}",
            remedy or "copy them again, or run `vlt prepare` again to leave them out",
        )
    return len(chosen), len(failed)


def check_overlap(config: ReferDataConfig, contents: dict[Split, SplitContent], diagnosis: Diagnosis) -> None:
    """Check that no photo that is trained on is validated on, and none that is mixed in is held out."""
    left_out: set[Path] = set()
    for dataset in config.hold_out:
        left_out |= diagnosis.attempt("data.hold_out", partial(images_held_out, dataset, config), PREPARE) or set()
    paths = {split: {(split.images / name).resolve() for name in each.images} for split, each in contents.items()}
    train, val, *mixed = splits_of(config) if config.train_split != config.val_split else [*splits_of(config)[:1]] * 2
    if shared := sorted(path.name for path in (paths.get(train, set()) - left_out) & paths.get(val, set())):
        diagnosis.find("warning", "data leakage", *shared_photos(shared, len(paths[val]), val.label, train.label))
    if not mixed:
        return
    held_out = diagnosis.attempt("data leakage", lambda: images_held_out(config.dataset, config), PREPARE) or set()
    for split in mixed:
        if shared := sorted(path.name for path in (paths.get(split, set()) - left_out) & held_out):
            diagnosis.find(
                "error",
                "data leakage",
                f"{split.label} has {counted(len(shared), 'photo')} that {config.dataset} holds out: {listed(shared)}.",
                f"prepare both with the same share of validation images, or set data.hold_out to [{config.dataset}]",
            )


def shared_photos(shared: list[str], count: int, val: str, train: str) -> tuple[str, str]:
    """Say that photos which are validated on are also trained on, and what to do.

    Args:
        shared: their names.
        count: number of photos that are validated on.
        val: name of the validation split.
        train: name of the training split.
    """
    return (
        f"{len(shared):,} of the {counted(count, 'photo')} of {val} are also in {train}: {listed(shared)}; the scores "
        "that select the best checkpoint will be too high.",
        "split by photo, as `vlt prepare` does, or set data.val_split to a split of other photos",
    )


def check_output(config: Config, diagnosis: Diagnosis, *, is_main: bool) -> None:
    """Check that the folder of a run can be written to and that no other run uses it; nothing is left in it.

    Args:
        config: configuration of the run.
        diagnosis: receives the results.
        is_main: whether this is the main process; others do not look at the folder.
    """
    path = config.output_dir
    state = path / "resume" / "state.pt"

    def enter() -> str:
        with RunFolder(path, is_main=is_main):
            return "holds a run, which would be continued" if state.exists() else "can be written to"

    result = diagnosis.attempt("output_dir", enter, "set output_dir to another folder")
    diagnosis.report("output", f"{path}: {result or 'cannot be used'}")
