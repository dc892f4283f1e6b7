"""The command line, `vlt`: a file per command. Nothing here imports torch before a command needs it."""

from vlt.cli.main import main as main
