"""COCO instances to referrals: whatever can be worded without ambiguity, in a prepared data set."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlt.data.expressions import describe
from vlt.data.prepare.coco_scenes import CocoScenes, PhotoScene, read_instances
from vlt.data.prepare.handwritten import HandWritten, only_photos, read_sentences
from vlt.data.prepare.report import PrepareReport, count, earlier_sources, file_digest
from vlt.data.prepared import annotation_folder, write_prepared
from vlt.data.standing import standings
from vlt.errors import DataError
from vlt.types import Expression, Referral

PER_TARGET = 4
"""Wordings per target."""
VAL_SHARE = 0.15
"""Share of the photos for validation."""


def is_validation(image_id: int | str, share: float = VAL_SHARE) -> bool:
    """Whether a photo is for validation: by a hash of its id, so that it is so in every selection and for ever.

    Args:
        image_id: as in the instance file.
        share: of the photos, in [0, 1]; what is for validation at one share is so at every larger one.
    """
    digest = hashlib.sha256(str(image_id).encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def prepare_coco(
    instances: Path | str,
    images: Path | str,
    output_dir: Path | str,
    *,
    name: str,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    per_target: int = PER_TARGET,
    expressions: Path | str | None = None,
    generate_mask: bool = False,
) -> PrepareReport:
    """Makes a referring data set of an instance file: annotations, masks, and `prepare.json` with the report.

    Args:
        instances: a file of COCO's format.
        images: the folder with its photos.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: of the data set, the folder under both.
        seed: draws what is said; the same seed, file and photos give the same data set.
        val_share: share of the photos for validation, in [0, 1], see `is_validation`.
        per_target: how many wordings a target gets where there are as many.
        expressions: a table of sentences that people wrote, see `vlt.data.prepare.handwritten`, in place of drawn ones.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        DataError: the instance file is missing or malformed, or the table does not fit it; `images` is no folder;
            nothing can be worded; a folder or file cannot be made; the folder of that name holds another data set.
    """
    if not Path(images).is_dir():
        raise DataError(f"There is no folder of photos {images}; name the one that holds them.")
    found = read_instances(Path(instances))
    choices = {"seed": seed, "per_target": per_target} if expressions is None else {"expressions": str(expressions)}
    source = {"instances": str(instances), "sha256": file_digest(Path(instances)), "val_share": val_share, **choices}
    folder = annotation_folder(Path(output_dir), name)
    _refuse_other(folder, source)
    if expressions is None:
        scenes = CocoScenes(found, Path(images))
        words: _Words | HandWritten = _Words(scenes, Path(images), seed, per_target)
    else:
        sentences = read_sentences(Path(expressions), found)
        scenes = CocoScenes(only_photos(found, sentences), Path(images))
        words = HandWritten(Path(expressions), sentences, found, scenes, Path(images))
    splits: dict[str, list[Referral]] = {"train": [], "val": []}
    for scene in tqdm(scenes, desc="wording", unit="photo", disable=None):
        splits["val" if is_validation(scene.photo.id, val_share) else "train"] += words.referrals(scene)
    if not any(splits.values()):
        raise DataError(f"Nothing in {instances} can be worded: {words.summary() or 'no photo in it can be used'}.")
    splits = _without_empty(splits, folder)
    write_prepared(Path(output_dir), name, splits, generate_mask=generate_mask, images=Path(images))
    report = PrepareReport(
        dataset=name,
        source=source,
        folder=folder,
        counts={split: count(referrals) for split, referrals in splits.items()},
        defects=scenes.defects,
        notes=[f"Of the objects in usable photos {words.summary()}."],
        categories=scenes.nouns,
    )
    report.write()
    return report


def _refuse_other(folder: Path, source: Mapping[str, Any]) -> None:
    """Refuses to overwrite what was made of another instance file or table; other draws from the same are welcome."""
    for before in earlier_sources(folder):
        if not isinstance(before, dict) or any(before.get(key) != source.get(key) for key in ("sha256", "expressions")):
            raise DataError(
                f"{folder} holds another data set, {before}; take another name, or remove that folder first."
            )


def _without_empty(splits: dict[str, list[Referral]], folder: Path) -> dict[str, list[Referral]]:
    """The splits that hold something; the file of an empty one goes, else it would tell of photos now in the other."""
    for split in splits:
        if not splits[split]:
            (folder / f"{split}.json").unlink(missing_ok=True)
    return {split: referrals for split, referrals in splits.items() if referrals}


class _Words:
    """Words the things of scenes, and counts what became of them."""

    def __init__(self, scenes: CocoScenes, images: Path, seed: int, per_target: int) -> None:
        self._categories = scenes.categories
        self._images = images
        self._seed = seed
        self._per_target = per_target
        self._sentence_ids = itertools.count()
        self._outcomes: Counter[str] = Counter()

    def referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """The things of a scene that something safe can be said of."""
        for index, (instance, thing, rle, standing) in enumerate(
            zip(scene.instances, scene.scene.things, scene.rles, standings(scene.scene), strict=True)
        ):
            if rle is None or not thing.may_be_meant:
                self._outcomes["are too small, too many or a crowd"] += 1
                continue
            rng = random.Random(
                f"{self._seed} {instance.id}"
            )  # of its own, so that no object's words hang on another's
            wordings = describe(scene.scene, index, rng, count=self._per_target)
            self._outcomes["are worded" if wordings else "have nothing safe to be said of them"] += 1
            if wordings:
                yield Referral(
                    ref_id=instance.id,
                    image=self._images / scene.photo.file_name,
                    target=rle,
                    expressions=tuple(Expression(next(self._sentence_ids), wording.text) for wording in wordings),
                    category=self._categories[instance.category_id],
                    box=thing.box,
                    standing=standing,
                )

    def summary(self) -> str:
        """What became of the things, the most frequent first."""
        return ", ".join(f"{times:,} {outcome}" for outcome, times in self._outcomes.most_common())
