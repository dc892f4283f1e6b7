"""What docs/ablation.md tells is what the studies found."""

from pathlib import Path

import pytest

from vlt.ablate import read_rows, read_study, study_table
from vlt.ablate.run import read_result
from vlt.train import changed_keys

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["synthetic", "real"])
def study(request):
    """As configured, with the results that are kept."""
    found = read_study(ROOT / "configs" / "studies" / f"{request.param}.yaml")
    return found.model_copy(update={"output_dir": ROOT / "results" / "ablation" / request.param})


def test_the_page_shows_the_tables(study):
    assert study_table(read_rows(study)) in (ROOT / "docs" / "ablation.md").read_text()


def test_each_result_is_of_the_configuration_that_is_published(study):
    kept = [planned for planned in study.planned() if (planned.folder / "result.json").exists()]
    assert len(kept) == len(list(study.output_dir.rglob("result.json")))  # none that no row asks for
    for planned in kept:
        assert changed_keys(read_result(planned.folder / "result.json")["config"], planned.config) == []
