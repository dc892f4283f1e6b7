"""Model cards: README.md of a checkpoint, from its configuration and meta.json, in the form that model hubs read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vlt.checkpoint.describe import describe_checkpoint, info_lines
from vlt.checkpoint.directory import IMAGE_GRAPH, META, NOTICES
from vlt.checkpoint.opened import OpenedCheckpoint
from vlt.checkpoint.recorded import REPORT, RecordedReport
from vlt.errors import CheckpointError
from vlt.hub import HubName

LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "cc0-1.0"),
    *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
)
"""Identifiers of licences in the first lines of a card."""
OF_THE_WEIGHTS = "these weights"
"""Name of the part under which `vlt pack --licence "these weights: LICENCE"` states the licence of the whole."""
TAGS = ("referring-segmentation", "referring-expression-segmentation", "vlt")
PLACEHOLDER = "path/to/this/folder"
"""Name of a checkpoint in the example of a card that belongs to no repository."""
DESCRIBED = ("network", "input", "prediction", "presence", "selection", "several", "parameters", "size")
"""Titles of `info_lines` under "The model"."""
OF_TRAINING = ("trained by", "trained on", "selected", "COCO labels")
"""Titles of `info_lines` under "Data"."""


def model_card(opened: OpenedCheckpoint, name: HubName | None = None) -> str:
    """Write the model card of a checkpoint: use, scores with their protocol, model, data, licences, limits.

    Args:
        opened: the checkpoint.
        name: its name on the hub; None: not known.

    Raises:
        CheckpointError: the weight file is missing or damaged; meta.json holds a report that cannot be read.
    """
    facts = describe_checkpoint(opened)
    lines = dict(info_lines(facts | {"reports": [], "licences": []}))
    sections = {
        "Use": use(opened, name),
        "Scores": scores(read_reports(opened)),
        "The model": listed_facts(lines, DESCRIBED),
        "Data": listed_facts(lines, OF_TRAINING) + coco_contact(facts),
        "Licences": licences(opened.path, facts["licences"]),
        "Limits": limits(opened, facts),
    }
    title = name.repo.partition("/")[2] if name else "A model of vlt"
    head = yaml.safe_dump(front_matter(opened, facts["licences"]), sort_keys=False, allow_unicode=True)
    intro = (
        "Referring segmentation: an image and an expression go in, the mask of what the expression refers to comes "
        "out. "
        f"Made with vlt {opened.meta.get('version') or '(version not stated)'}; this card was generated from the "
        f"checkpoint's configuration and {META}."
    )
    text = "\n\n".join(f"## {head}\n\n{section}" for head, section in sections.items())
    return f"---\n{head}---\n\n# {title}\n\n{intro}\n\n{text}\n"


def front_matter(opened: OpenedCheckpoint, stated: Sequence[str]) -> dict[str, Any]:
    """Return the values at the head of a card, which hubs index.

    Args:
        opened: the checkpoint.
        stated: the lines about licences, see `licence_identifier`.
    """
    identifier = licence_identifier(stated)
    several = {"license_name": "several-see-the-section-licences"} if identifier == "other" else {}
    return {
        "license": identifier,
        **several,
        "library_name": "vlt",
        "pipeline_tag": "image-segmentation",
        "language": "en",
        "tags": [*TAGS, *(["onnx"] if (opened.path / IMAGE_GRAPH).is_file() else [])],
    }


def licence_identifier(stated: Sequence[str]) -> str:
    """Return the identifier of a checkpoint's licence: that of its weights, or the one that all of its parts have.

    Args:
        stated: lines such as "these weights: Apache-2.0" or "DINOv2: Apache-2.0".

    Returns:
        One of `LICENCES`; "other" for several or one that is not among them; "unknown" where none is stated.

    Example:
        >>> licence_identifier(["these weights: CC BY 4.0", "a part: MIT"]), licence_identifier(["a: MIT", "b: mit"])
        ('cc-by-4.0', 'mit')
        >>> licence_identifier(["a: MIT", "b: Apache-2.0"]), licence_identifier([])
        ('other', 'unknown')
    """
    by_part = [line.rpartition(":")[::2] for line in stated]
    whole = [licence for part, licence in by_part if part.strip().lower() == OF_THE_WEIGHTS]
    found = {re.sub(r"[\s_]+", "-", licence.strip().lower()) for licence in whole or [each for _, each in by_part]}
    if not found:
        return "unknown"
    return found.pop() if len(found) == 1 and found <= set(LICENCES) else "other"


def use(opened: OpenedCheckpoint, name: HubName | None) -> str:
    """Write how to load the checkpoint and predict with it."""
    needs = "vlt" if (opened.path / IMAGE_GRAPH).is_file() else "vlt[train]"
    install = f'pip install "{needs}"' + (" huggingface_hub" if name and needs == "vlt" else "")
    source = str(name) if name else PLACEHOLDER
    return (
        f'```bash\n{install}\nvlt predict photo.jpg "the dog on the left" --checkpoint {source}\n```\n\n'
        f'```python\nimport vlt\n\npredictor = vlt.load("{source}")\n'
        '[dog] = predictor.predict("photo.jpg", "the dog on the left")\ndog.mask  # (H, W) bool\n```'
    )


def read_reports(opened: OpenedCheckpoint) -> list[RecordedReport]:
    """Read the reports of `vlt test` that a checkpoint keeps.

    Raises:
        CheckpointError: one has another form.
    """
    try:
        return [REPORT.validate_python(report) for report in opened.meta.get("reports", [])]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{opened.path / META} keeps a report that cannot be read ({where}: {first['msg']}); pack the checkpoint "
            "again with `vlt pack --report`."
        ) from None


def scores(reports: Sequence[RecordedReport]) -> str:
    """Write a table of reports with the protocol of each below it."""
    if not reports:
        return "The checkpoint keeps no report of `vlt test`; how good it is, is not stated."
    has_boxes = any(report.is_of_boxes for report in reports)
    has_videos = any(report.video for report in reports)
    heads = ["data set, split", "expressions", "mIoU", "oIoU", "Pr@0.5", "N-acc"]
    heads += ["box acc."] * has_boxes + ["J&F"] * has_videos
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    notes: dict[str, list[str]] = {}
    for report in reports:
        found, presence = report.scores, report.presence
        shares = [found.miou, found.oiou, found.precision.get("0.5"), presence.n_acc if presence else None]
        shares += [found.box] * has_boxes + [report.video.mean if report.video else None] * has_videos
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        rows.append([report.split, f"{found.count:,}", *cells])
        notes.setdefault(report.conditions(), []).append(report.split)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    below = "\n\n".join(f"{', '.join(splits)}: {text}" for text, splits in notes.items())
    meanings = ["N-acc is the share of expressions without a referent that get an empty mask."]
    if has_videos:
        meanings.append("J&F is the mean over the frames of each expression first; the other scores count each frame.")
    return f"{table}\n\nIn percent. {below} {' '.join(meanings)}"


def listed_facts(lines: Mapping[str, str], titles: Sequence[str]) -> str:
    """Write some lines of `vlt info` as a list."""
    return "\n".join(f"- {title}: {lines[title]}" for title in titles if title in lines)


def coco_contact(facts: Mapping[str, Any]) -> str:
    """Write what it means for scores that a part was trained on labels of COCO; empty where none was."""
    if not (facts["backbone_seen_coco_labels"] or facts["detector_seen_coco_labels"]):
        return ""
    return (
        "\n\nParts of the model were trained on labels of COCO's train2017 before. The photos of RefCOCO, RefCOCO+, "
        "RefCOCOg and gRefCOCO are COCO's, so that scores on their splits may be those of photos that these parts have "
        "seen."
    )


def licences(folder: Path, stated: Sequence[str]) -> str:
    """Write the licences that the checkpoint states, and name its files about them."""
    files = sorted({path.relative_to(folder).as_posix() for pattern in NOTICES for path in folder.glob(pattern)})
    text = "\n".join(f"- {line}" for line in stated) or "The checkpoint states none; ask its author before you use it."
    return text + (f"\n\nSee also {', '.join(files)} beside this card." if files else "")


def limits(opened: OpenedCheckpoint, facts: Mapping[str, Any]) -> str:
    """Write the limits that follow from the configuration."""
    model, found = opened.config.model, []
    found.append(f"Expressions are English; more than {model.max_words} words or word pieces are cut, with a warning.")
    height, width = opened.config.input_size
    found.append(f"Images are reduced to {height} x {width} pixels for the network; small objects suffer most.")
    if getattr(model, "candidates", None) is None:
        found.append('It has no output for "nothing matches": expressions about absent objects often get a mask.')
    elif facts["inference"]["presence"]:
        found.append(
            "It may miss that nothing matches, and the other way round; `Prediction.presence` is no certainty."
        )
    if facts["packed"]:
        found.append("Matrices are rounded to 8 bits per weight (`vlt pack`).")
    found.append("Scores hold for the data above; measure on your own images with `vlt test` before you rely on it.")
    return "\n".join(f"- {line}" for line in found)
