"""Ablation studies: single changes of a base configuration, each trained with several seeds, and their summary."""

from vlt.ablate.run import Run as Run
from vlt.ablate.run import run_study as run_study
from vlt.ablate.study import Study as Study
from vlt.ablate.study import read_study as read_study
from vlt.ablate.summary import Row as Row
from vlt.ablate.summary import read_rows as read_rows
from vlt.ablate.summary import study_table as study_table
from vlt.ablate.table import read_results as read_results
from vlt.ablate.table import read_table as read_table
from vlt.ablate.table import write_table as write_table
