"""The report: what differs, what is wrong, and no more ids than one can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlt.errors import DataError
from vlt.prepare.folder import owning
from vlt.prepare.report import Counts, DefectKind, Defects, PrepareReport, count
from vlt.types import Expression, Referral

LOST = DefectKind("missing photo", "ref_id", "left out")


def report(folder: Path, found: Counts, expected: Counts | None = None, lost: int = 0) -> PrepareReport:
    defects = Defects()
    for ref_id in range(lost):
        defects.add(LOST, ref_id)
    wanted = {"val": expected} if expected else {}
    return PrepareReport("mine", {"seed": 1}, folder, {"val": found}, wanted, defects, ["A note."])


def test_photos_are_counted_once_and_sentences_all() -> None:
    said = (Expression(1, "a"), Expression(2, "b"))
    same = [Referral(i, Path("a.jpg"), Path("1.png"), said) for i in range(3)]
    assert count([*same, Referral(3, Path("b.jpg"), Path("1.png"), said[:1])]) == Counts(4, 2, 7)


def test_expected_counts_that_are_met(tmp_path: Path) -> None:
    met = report(tmp_path, Counts(3811, 1500, 10834), Counts(3811, 1500, None))
    assert met.differences() == []
    assert "val        3,811 / 1,500 / 10,834   expected 3,811 / 1,500 / -\n" in str(met)
    assert "All counts are the expected ones.\nA note.\nNo defects." in str(met)


def test_expected_counts_that_are_not_met(tmp_path: Path) -> None:
    differs = report(tmp_path, Counts(3811, 1500, 10833), Counts(3811, 1500, 10834))
    assert differs.differences() == ["val: 10,833 sentences, expected 10,834"]
    assert "Differs: val: 10,833 sentences, expected 10,834.\n" in str(differs)


def test_a_split_that_is_expected_but_not_there(tmp_path: Path) -> None:
    lacks = PrepareReport("mine", {}, tmp_path, {}, {"val": Counts(1, 1, None)})
    assert lacks.differences() == ["val: 0 refs, expected 1", "val: 0 images, expected 1"]


def test_many_defects_are_all_in_the_json_and_some_in_the_text(tmp_path: Path) -> None:
    many = report(tmp_path, Counts(1, 1, 1), lost=1234)
    assert "missing photo: 1,234 (left out); ref_id 0, 1, 2" in str(many)
    assert str(many).endswith(" 18, 19 and 1,214 more, see prepare.json")
    many.write()
    [defect] = json.loads((tmp_path / "prepare.json").read_bytes())["defects"]
    assert defect == {"kind": "missing photo", "of": "ref_id", "outcome": "left out", "ids": list(range(1234))}


def test_a_data_set_has_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with owning(folder, {"seed": 1}):
        with pytest.raises(DataError, match="is being written by another command"), owning(folder, {"seed": 1}):
            pass
        (folder / "prepare.json").write_text('{"source": {"seed": 1}}')
    assert [path.name for path in folder.iterdir()] == ["prepare.json"]
    with pytest.raises(DataError, match="made from seed 1, not 2"), owning(folder, {"seed": 2}):
        pass
    with owning(folder, {"seed": 1}):
        pass
