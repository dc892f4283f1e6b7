"""Published sets that Parquet files are parts of: told by names, their counts, and remarks for the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlt.errors import DataError
from vlt.prepare.published.parquet_files import SetFile, missing_parts, split_names
from vlt.prepare.published.parquet_rows import OBJECTS, REF_ADV, REF_L4, SAMPLES, Layout
from vlt.prepare.published.refer import EXPECTED
from vlt.prepare.published.refer_set import BOXES_ALONE
from vlt.prepare.report import Counts, count
from vlt.types import Referral

REF_L4_EXPRESSIONS, REF_ADV_EXPRESSIONS = 45341, 1142
"""Published numbers of expressions: of val and test of JierunChen/Ref-L4 together, and of dddraxxx/ref-adv-s."""
SEARCHED_FOLDERS = 5
"""Number of folders above a file whose names may tell the data set; the fifth is that of the hub's cache."""


class Published(NamedTuple):
    """A published data set: its name and its way of splitting, a key of `EXPECTED`."""

    dataset: str
    split_by: str


def find_published(files: Sequence[SetFile], layout: Layout, name: str) -> Published | None:
    """Find out which published data set files are, by their names, those of their folders, and the prepared name.

    Returns:
        None where no name tells it, and for layouts of other selections or sets than RefCOCO's.

    Raises:
        DataError: the files are of several data sets, whose ids would collide.
    """
    found: dict[Published | str, Path] = {}
    for file in files:
        folders = [folder.name for folder in list(file.path.absolute().parents)[:SEARCHED_FOLDERS]]
        texts = [file.dataset] if file.dataset else folders
        published = next((known for text in texts if (known := parse_set(text))), None)
        found.setdefault(published or file.dataset, file.path)
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise DataError(f"{one} and {other} are of different data sets, by their names; name the files of one.")
    [told] = found
    if layout is SAMPLES or not layout.has_outlines:
        return None
    return told if isinstance(told, Published) else parse_set(name)


def parse_set(text: str) -> Published | None:
    """Parse the name of a published data set, as it is part of the names of files and folders; None for others.

    Example:
        >>> parse_set("refcoco_plus_unc"), parse_set("datasets--jxu124--refcocog")
        (Published(dataset='refcoco+', split_by='unc'), Published(dataset='refcocog', split_by='umd'))
    """
    known = re.search(r"refcoco(_?plus|\+|_?g)?(?![a-z0-9])", text.lower())
    if known is None:
        return None
    kind = "" if known[1] is None else "g" if known[1].endswith("g") else "+"
    return Published(f"refcoco{kind}", "google" if "google" in text.lower() else "umd" if kind == "g" else "unc")


def layout_notes(files: Sequence[SetFile], layout: Layout, published: Published | None) -> list[str]:
    """Write the sentences of the report about the layout, and about parts of splits that are missing."""
    notes = []
    for split, numbers in missing_parts(files).items():
        notes.append(f"{split} is incomplete: there is no file of part {', '.join(map(str, numbers))}.")
    if layout is OBJECTS:
        splits = split_names(files)
        notes.append("An outline is one list of coordinates here, so that an object of several parts is one polygon.")
        if published is None:
            notes.append("RefCOCO's and RefCOCOg's val joins two ways of splitting here, unc (umd) and google.")
        elif "val" in splits and len(both := joined_counts(published, "val")) > 1:
            notes.append(
                f"val joins two ways of splitting, {both[0].refs:,} refs of {published.split_by} and {both[1].refs:,} "
                "of google; scores on it cannot be compared with published ones."
            )
        if published == ("refcoco", "unc") and "test" in splits:
            notes.append("test is that of google; its images may be training images of unc.")
    if not layout.has_outlines:
        notes.append(BOXES_ALONE)
    if layout is REF_L4:
        notes.append("Each expression is a ref, with its id; the category is -1, since the files have numbers alone.")
    elif not layout.has_refs:
        notes.append("These files have no categories and no ref_ids: the category is -1, and refs are numbered from 0.")
    if layout.only_split is not None:
        notes.append(f"The set is a benchmark without other splits, so that all of it is in {layout.only_split}.")
    return notes


def total_note(splits: Mapping[str, Sequence[Referral]], layout: Layout) -> list[str]:
    """Compare the number of expressions of both splits of Ref-L4 together with the published one, in a sentence.

    Args:
        splits: the referrals of each split.
        layout: layout of the files.
    """
    if layout is not REF_L4 or not {"val", "test"} <= splits.keys():
        return []
    total = sum(count(referrals).sentences or 0 for referrals in splits.values())
    verdict = "as published" if total == REF_L4_EXPRESSIONS else f"expected {REF_L4_EXPRESSIONS:,}"
    return [f"{' and '.join(splits)} have {total:,} expressions together, {verdict}."]


def joined_counts(published: Published | None, split: str) -> list[Counts]:
    """Return the published counts of a split of lmms-lab/RefCOCO: of its usual way of splitting, and of Google's."""
    if published is None:
        return []
    ways = [EXPECTED.get((published.dataset, way), {}) for way in dict.fromkeys((published.split_by, "google"))]
    return [counts[split] for counts in ways if split in counts]


def expected_counts(published: Published | None, layout: Layout, splits: Sequence[str]) -> dict[str, Counts]:
    """Return the published counts of splits, as far as they are known.

    Args:
        published: the data set; None where it is not known.
        layout: layout of the files; lmms-lab/RefCOCO joins the refs of two ways of splitting.
        splits: names of the splits.
    """
    if layout is REF_ADV:
        return {split: Counts(REF_ADV_EXPRESSIONS, None, REF_ADV_EXPRESSIONS) for split in splits}
    expected = {}
    for split in splits:
        found = joined_counts(published, split)
        if layout is not OBJECTS:
            found = [EXPECTED[published][split]] if published and split in EXPECTED.get(published, {}) else []
        if len(found) == 1:
            expected[split] = found[0]
        elif found:
            expected[split] = Counts(sum(counts.refs or 0 for counts in found), None, None)
    return expected
