"""Regenerate the tables of docs/ablation.md from the results of the studies.

    python tools/ablation_page.py                                    # from results/ablation/*.jsonl
    python tools/ablation_page.py configs/studies/real.yaml          # first copy results of that study there

Between `<!-- table STUDY -->` and `<!-- end -->` the page holds the summary of results/ablation/STUDY.jsonl.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from vlt.ablate import read_results, read_rows, read_study, read_table, study_table, write_table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ablation.md"
RESULTS = ROOT / "results" / "ablation"
TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page_with_tables(page: str) -> str:
    """Replace the tables of a page by those of the published results."""
    return TABLE.sub(
        lambda found: f"{found[1]}{study_table(read_rows(read_table(RESULTS / f'{found[2]}.jsonl')))}{found[3]}", page
    )


def main() -> None:
    """Copy the results of the studies named on the command line, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Path, help="configurations of studies whose results are published")
    for path in parser.parse_args().studies:
        write_table(read_results(read_study(path)), RESULTS / f"{path.stem}.jsonl")
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
