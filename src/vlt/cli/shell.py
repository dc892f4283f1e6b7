"""How the command line behaves, whatever the command: one sentence per error, one line per warning, early refusals."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vlt.errors import VLTError, VLTWarning

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # users of the original type --data_root
}
PATH = click.Path(path_type=Path)

set_option = click.option(
    "--set", "assignments", metavar="A.B=VALUE", multiple=True, help="Override a key of CONFIG; may be repeated."
)
device_option = click.option("--device", help="Such as cpu or cuda:1.  [default: a GPU where there is one]")

refine_option = click.option(
    "--refine/--no-refine",
    default=True,
    show_default=True,
    help="Sharpen masks, where the checkpoint brings what that takes.",
)

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
NOISY = ("transformers", "torch", "accelerate", "PIL")
DEBUG = "vlt.debug"


class Command(click.Command):
    """A command that understands `--debug`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_debug_option())


class Shell(click.Group):
    """A group of commands; what goes wrong in them becomes one sentence on stderr and an exit code."""

    command_class = Command
    group_class = type  # groups inside it are of this kind too

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_debug_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that `ctx` names."""
        try:
            with _quiet():
                return super().invoke(ctx)
        except VLTError as error:
            if ctx.meta.get(DEBUG):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)


def examples(*commands: str) -> str:
    """The end of a help text."""
    return "\n".join(["\b", "Examples:" if len(commands) > 1 else "Example:", *(f"  {one}" for one in commands)])


def writable_file(path: Path) -> Path:
    """Refuses a file that could not be written, before anything is computed."""
    if path.is_dir():
        raise click.BadParameter(f"{path} is a directory; name a file inside it.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent} for {path.name}; make it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written: permission denied.")
    return path


def writable_picture(path: Path) -> Path:
    """Refuses a picture that could not be written, or in a format that its ending does not name."""
    if path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{path} does not say which kind of picture; end it in {' or '.join(PICTURES)}.")
    return writable_file(path)


def checked(check: Callable[[Path], Path]) -> Callable[..., Path | None]:
    """A callback for an option that runs `check` where the option is given."""
    return lambda _context, _parameter, path: None if path is None else check(path)


def _debug_option() -> click.Option:
    """Before or after the name of a command."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, value: context.meta.update({DEBUG: True}) if value else None,
        help="Show the traceback of an error.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Our own warnings as one line each on stderr; nothing of what the libraries below say to each other."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", VLTWarning)
        warnings.showwarning = lambda message, *_args, **_options: click.echo(f"warning: {message}", err=True)
        yield
