"""Reader of aRefCOCO's own file, whose entries refer to refs of RefCOCO and RefCOCOg for their objects.

<data_root>/arefcoco/arefcoco.json
{"annotations": [{"entity_id": 0, "ref_id": 7, "original_dataset": "refcocog", "split": "test",
                  "descriptions": ["he is the taller one", ...], ...}, ...]}

Source: https://github.com/zhenjiemao/aRefCOCO
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from vlt.files import JsonObject, read_json
from vlt.prepare.instances import OUTCOME, InstanceFile, read_instance_file
from vlt.prepare.published.refer_files import Ref, RefSentence, read_refs
from vlt.prepare.published.refer_set import SPLITS, ReferReader, ReferSet, belongs
from vlt.prepare.report import DefectKind

ORIGINALS = {"refcoco": "unc", "refcocog": "umd"}
"""Data sets to whose refs the entries refer -> their way of splitting."""

NO_REF = DefectKind("ref that its original set lacks", "ref_id", OUTCOME)


class AmbiguousEntry(JsonObject):
    """Expressions about the object of a ref of another data set."""

    ref_id: int
    original_dataset: Literal["refcoco", "refcocog"]
    split: str
    descriptions: list[str]


class AmbiguousFile(JsonObject):
    """Content of arefcoco.json."""

    annotations: list[AmbiguousEntry]


def arefcoco_file(data_root: Path) -> Path:
    """Path of aRefCOCO's own file in a REFER folder."""
    return data_root / "arefcoco" / "arefcoco.json"


def read_arefcoco(data_root: Path, images: Path) -> ReferSet:
    """Read aRefCOCO's own file, with the objects of the refs of RefCOCO and RefCOCOg beside it.

    The ref_id of an entry is its number in the file, counted from 0, because ids of the two sets collide. Only the
    headers of images are read; where none of the images exists, they are not checked.

    Args:
        data_root: REFER folder with arefcoco, refcoco and refcocog.
        images: the folder of the images.

    Raises:
        DataError: a file is missing or malformed; a pickle that references anything but plain containers.
    """
    remedy = "this is not aRefCOCO's format, download the file again"
    entries = read_json(arefcoco_file(data_root), TypeAdapter(AmbiguousFile), remedy).annotations
    originals: dict[tuple[str, int], Ref] = {}
    files: dict[str, InstanceFile] = {}
    for dataset, split_by in ORIGINALS.items():
        for ref in read_refs(data_root / dataset, split_by):
            originals.setdefault((dataset, ref.ref_id), ref)
        files[dataset] = read_instance_file(data_root / dataset / "instances.json", InstanceFile)
    sent_ids = itertools.count()
    refs = []
    lost = []
    for number, entry in enumerate(entries):
        original = originals.get((entry.original_dataset, entry.ref_id))
        if original is None:
            lost.append((number, entry))
            continue
        own = {
            "ref_id": number,
            "ann_id": [f"{entry.original_dataset} {target}" for target in original.targets],
            "split": entry.split,
            "sentences": [RefSentence(sent_id=next(sent_ids), sent=text) for text in entry.descriptions],
        }
        refs.append(original.model_copy(update=own))
    reader = ReferReader("arefcoco", join_instances(files, refs), images)
    for number, entry in lost:
        reader.defects.add(NO_REF, number, example=f"ref_id {entry.ref_id} of {entry.original_dataset}")
    return reader.read(refs, SPLITS["arefcoco"]["unc"], belongs)


def join_instances(files: dict[str, InstanceFile], refs: list[Ref]) -> InstanceFile:
    """Join the images and objects of several data sets to which refs refer.

    Args:
        files: data set -> its instance file.
        refs: refs whose annotations are named "<data set> <id>".

    Returns:
        Images that the data sets describe equally once, and annotations named as in the refs.
    """
    used = {ref.image_id for ref in refs}
    targets = {target for ref in refs for target in ref.targets}
    return InstanceFile(
        images=list(dict.fromkeys(photo for file in files.values() for photo in file.images if photo.id in used)),
        annotations=[
            each.model_copy(update={"id": name})
            for dataset, file in files.items()
            for each in file.annotations
            if (name := f"{dataset} {each.id}") in targets
        ],
        categories=files["refcoco"].categories,
    )
