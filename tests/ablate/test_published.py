"""docs/ablation.md shows the published results of the studies."""

import importlib.util
from pathlib import Path

import pytest

from vlt.ablate import read_rows, read_study, read_table, study_table
from vlt.train import changed_keys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")


@pytest.fixture(params=["synthetic", "real"])
def name(request):
    return request.param


def published(name):
    return read_table(ROOT / "results" / "ablation" / f"{name}.jsonl")


def test_the_page_shows_the_tables(name):
    assert study_table(read_rows(published(name))) in PAGE


def test_the_script_that_writes_the_page_leaves_it_as_it_is():
    spec = importlib.util.spec_from_file_location("ablation_page", ROOT / "tools" / "ablation_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.page_with_tables(PAGE) == PAGE
    assert PAGE.count("<!-- table ") == 2


def test_each_result_is_of_the_configuration_that_is_published(name):
    planned = {
        (run.row, run.seed): run.config for run in read_study(ROOT / "configs/studies" / f"{name}.yaml").planned()
    }
    lines = published(name)
    assert len({(line["row"], line["seed"]) for line in lines}) == len(lines) > 50
    for line in lines:
        assert changed_keys(line["config"], planned[line["row"], line["seed"]]) == []
