"""Referring data sets from COCO instance files: expressions by a grammar, a table or a key, and the report."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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
from vlt.prepare.splits import VAL_SHARE, check_name, check_share, is_validation, split_by_image
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
        expressions: a table of expressions that people wrote, see `vlt.prepare.handwritten`, in place of the grammar.
        expressions_key: key of the annotations that has expressions that people wrote, in place of the grammar.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `val_share` is outside [0, 1]; `name` is no plain name; both `expressions` and `expressions_key`.
        DataError: the instance file is missing or malformed, or the table or key does not fit it; `images` is no
            folder; there is no object with an expression; a folder or file cannot be written; the folder of that name
            holds a data set that was made in another way.
    """
    folder = annotation_folder(Path(output_dir), check_name(name))
    if not Path(images).is_dir():
        raise DataError(f"There is no folder of images {images}; name the one that holds them.")
    if expressions is not None and expressions_key is not None:
        raise ConfigError(
            "Expressions come from a table or from the annotations; give one of --expressions and --expressions-key."
        )
    path = Path(instances)
    keyed = None if expressions_key is None else read_keyed(path, expressions_key)
    found = read_instance_file(path, CocoFile) if keyed is None else keyed
    choices: dict[str, object] = {"seed": seed, "per_target": per_target}
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
    maker: GrammarExpressions | TableExpressions = GrammarExpressions(scenes, Path(images), seed, per_target)
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
    """

    def __init__(self, scenes: CocoScenes, images: Path, seed: int, per_target: int) -> None:
        self._categories = scenes.categories
        self._images = images
        self._seed = seed
        self._per_target = per_target
        self._sentence_ids = itertools.count()
        self._outcomes: Counter[str] = Counter()

    def referrals(self, scene: PhotoScene) -> Iterator[Referral]:
        """Make a referral of each object of a scene for which there is an unambiguous expression."""
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
                    expressions=tuple(Expression(next(self._sentence_ids), wording.text) for wording in wordings),
                    category=self._categories[instance.category_id],
                    box=described.box,
                    standing=standing,
                )

    def summary(self) -> str:
        """Count the objects with and without expressions, the most frequent outcome first."""
        return ", ".join(f"{times:,} {outcome}" for outcome, times in self._outcomes.most_common())
