"""What categories are called, where data tell."""

from pathlib import Path

import pytest

from vlt.config import ReferDataConfig, SyntheticDataConfig
from vlt.data.categories import category_names
from vlt.data.synthetic import SyntheticReferrals


def test_scenes_name_their_shapes():
    names = category_names(SyntheticDataConfig())
    for referral in SyntheticReferrals(5, (64, 64), 0, "val", kinds={"category": 1.0}):
        assert any(names[referral.category] in expression.text for expression in referral.expressions)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"categories": ["person", "traffic light"]}', ("person", "traffic light")),
        ('{"categories": []}', ()),
        ('{"source": {}}', ()),
        ('{"categories": null}', ()),
        ("[]", ()),
        ("{", ()),
        (None, ()),
    ],
)
def test_prepared_sets_name_theirs_in_their_report(tmp_path, text, names):
    folder = tmp_path / "anns" / "mine"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "prepare.json").write_text(text)
    assert category_names(ReferDataConfig(root=tmp_path, dataset="mine", images=Path("photos"))) == names
