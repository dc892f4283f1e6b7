"""Referring data sets from COCO instance files: expressions by a grammar, a table or a key, and the report."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlt.data.prepared import annotation_folder
from vlt.errors import ConfigError, DataError
from vlt.files import file_digest
from vlt.prepare.coco_scenes import CocoScenes, PhotoScene
from vlt.prepare.folder import SPLITS, refuse_other, write_data_set
from vlt.prepare.handwritten import TableExpressions, read_table
from vlt.prepare.instances import CocoFile, read_instance_file
from vlt.prepare.keyed import keyed_lines, read_keyed
from vlt.prepare.report import PrepareReport
from vlt.prepare.shares import check_shares, named_shares
from vlt.prepare.splits import (
    VAL_SHARE,
    check_name,
    check_share,
    is_validation,
    split_by_image,
)
from vlt.synth.scenes.referents import NONE, Shares, vary
from vlt.synth.words import describe, standings
from vlt.types import Expression, Referral

__all__ = ["PER_TARGET", "GrammarExpressions", "is_validation", "prepare_coco"]

PER_TARGET = 4
"""Default number of expressions per object."""


def prepare_coco(
    instances: Path | str,
    images: Path | str,
    output_dir: Path | str,
    *,
    name: str,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    per_target: int = PER_TARGET,
    several: float = 0.0,
    absent: float = 0.0,
    expressions: Path | str | None = None,
    expressions_key: str | None = None,
    generate_mask: bool = False,
) -> PrepareReport:
    """Make a referring data set from an instance file: annotations, masks, and `prepare.json` with the report.

    Args:
        instances: a file of COCO's format.
        images: the folder with its images.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        seed: seed of the random choice of expressions; the same seed, file and images give the same data set.
        val_share: share of the images for validation, in [0, 1], see `is_validation`.
        per_target: largest number of expressions per object.
        several: share in [0, 1] of the referrals that are to all objects of a kind instead of to one, where there are
            at least two, see `vlt.synth.scenes.referents.vary`.
        absent: share in [0, 1] of the referrals that nothing in the image matches.
        expressions: a table of expressions that people wrote, see `vlt.prepare.handwritten`, in place of the grammar.
        expressions_key: key of the annotations that has expressions that people wrote, in place of the grammar.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: a share is outside [0, 1]; `several` and `absent` together are above 1, or given with expressions
            that people wrote; `name` is no plain name; both `expressions` and `expressions_key`.
        DataError: the instance file is missing or malformed, or the table or key does not fit it; `images` is no
            folder; there is no object with an expression; a folder or file cannot be written; the folder of that name
            holds a data set that was made in another way.
    """
    folder, shares = annotation_folder(Path(output_dir), check_name(name)), check_shares(several, absent)
    if shares != NONE and (expressions is not None or expressions_key is not None):
        raise ConfigError(
            "several and absent vary generated expressions, but a table or key says what each refers to; leave them "
            "out."
        )
    if not Path(images).is_dir():
        raise DataError(f"There is no folder of images {images}; name the one that holds them.")
    if expressions is not None and expressions_key is not None:
        raise ConfigError(
            "Expressions come from a table or from the annotations; give one of --expressions and --expressions-key."
        )
    path = Path(instances)
    keyed = None if expressions_key is None else read_keyed(path, expressions_key)
    found = read_instance_file(path, CocoFile) if keyed is None else keyed
    choices: dict[str, Any] = {"seed": seed, "per_target": per_target, **named_shares(shares)}
    if expressions is not None:
        choices = {"expressions": str(expressions)}
    elif expressions_key is not None:
        choices = {"expressions_key": expressions_key}
    source = {
        "instances": str(instances),
        "sha256": file_digest(path),
        "val_share": check_share(val_share),
        **choices,
    }
    refuse_other(folder, source)
    lines = None if expressions is None else read_table(Path(expressions), found)
    if keyed is not None and expressions_key is not None:
        lines = keyed_lines(path, expressions_key, keyed.annotations)
    scenes = CocoScenes(found, Path(images), only=None if lines is None else {line.image_id for line in lines})
    maker: GrammarExpressions | TableExpressions
    maker = GrammarExpressions(scenes, Path(images), seed, per_target, shares)
    if lines is not None:
        where = Path(expressions or path)
        maker = TableExpressions(where, lines, scenes, Path(images), leave_out=keyed is not None)
    with_ids = (
        (scene.photo.id, maker.referrals(scene))
        for scene in tqdm(scenes, desc="expressions", unit="image", disable=None)
    )
    splits = split_by_image(with_ids, val_share)
    if not splits:
        reasons = "; ".join(text for text in (maker.summary(), scenes.defects.summary()) if text)
        raise DataError(f"No object of {instances} gets an expression: {reasons or 'it lists no image'}.")
    return write_data_set(
        Path(output_dir),
        name,
        splits,
        source=source,
        images=Path(images),
        defects=scenes.defects,
        categories=scenes.nouns,
        generate_mask=generate_mask,
        notes=[f"Of the objects in usable images, {maker.summary()}."],
        replaced=SPLITS,
    )


class GrammarExpressions:
    """Makes referrals of the objects of scenes with unambiguous expressions of the grammar, and counts the objects.

    Args:
        scenes: whose categories are used.
        images: the folder of the images.
        seed: seed of the random choice.
        per_target: largest number of expressions per object.
        shares: of referrals to several objects and to none.
    """

    def __init__(self, scenes: CocoScenes, images: Path, seed: int, per_target: int, shares: Shares = NONE) -> None:
        self._categories = scenes.categories
        self._free_ids = scenes.free_ids
        self._shares = shares
        self._images = images
        self._seed = seed
        self._per_target = per_target
        self._sentence_ids = itertools.count()
        self._outcomes: Counter[str] = Counter()

    def referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """Make a referral of each object of a scene for which there is an unambiguous expression.

        One to several objects or to none may stand in its place; the id of that is above those of all annotations.
        """
        categories = [self._categories[instance.category_id] for instance in scene.instances]
        rng = random.Random(f"{self._seed} {scene.photo.id} kinds")
        found = list(self.single_referrals(scene))
        objects = list(zip(scene.rles, categories, strict=True))
        for referral, before in zip(vary(found, scene.scene, objects, rng, self._shares), found, strict=True):
            if referral is not before:
                kind = "several objects" if referral.targets else "nothing in the image"
                self._outcomes[f"are replaced by a referral to {kind}"] += 1
            yield replace(
                referral,
                ref_id=before.ref_id if referral is before else next(self._free_ids),
                expressions=tuple(replace(each, sent_id=next(self._sentence_ids)) for each in referral.expressions),
            )

    def single_referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """Make a referral of each object for which there is an unambiguous expression; the ids of these are 0."""
        for index, (instance, described, rle, standing) in enumerate(
            zip(scene.instances, scene.scene.objects, scene.rles, standings(scene.scene), strict=True)
        ):
            if rle is None or not described.can_be_target:
                self._outcomes["are too small, too many or a crowd"] += 1
                continue
            # A generator per object, so that its expressions do not depend on the other objects.
            rng = random.Random(f"{self._seed} {instance.id}")
            wordings = describe(scene.scene, index, rng, count=self._per_target)
            self._outcomes["have expressions" if wordings else "have no unambiguous expression"] += 1
            if wordings:
                yield Referral(
                    ref_id=instance.id,
                    image=self._images / scene.photo.file_name,
                    targets=(rle,),
                    expressions=tuple(Expression(0, wording.text) for wording in wordings),
                    category=self._categories[instance.category_id],
                    box=described.box,
                    standing=standing,
                )

    def summary(self) -> str:
        """Count the objects with and without expressions, the most frequent outcome first."""
        return ", ".join(f"{times:,} {outcome}" for outcome, times in self._outcomes.most_common())
