"""Studies: one change at a time from a base configuration, over several seeds; what is missing runs, all is told."""

from vlt.ablate.run import Run as Run
from vlt.ablate.run import run_study as run_study
from vlt.ablate.study import Study as Study
from vlt.ablate.study import read_study as read_study
from vlt.ablate.summary import Row as Row
from vlt.ablate.summary import read_rows as read_rows
from vlt.ablate.summary import study_table as study_table
