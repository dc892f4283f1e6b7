"""Options and arguments that several commands of `vlt prepare` share."""

from __future__ import annotations

import click

from vlt.cli.shell import PATH

output_dir_option = click.option(
    "--output-dir", type=PATH, required=True, help="Folder in which anns/NAME/ and masks/NAME/ are written."
)
generate_mask_option = click.option(
    "--generate-mask", is_flag=True, help="Write masks as PNGs instead of run lengths in one file."
)
images_option = click.option("--images", type=PATH, required=True, help="Folder of its images.")
data_argument = click.argument("data", type=PATH, nargs=-1, required=True)
name_option = click.option("--name", required=True, help="Name of the new data set.")
