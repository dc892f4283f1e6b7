"""Shared parts of all commands: formatting of errors and warnings, early checks, common options."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vlt.cli.paths import HubPath, LocalPath
from vlt.errors import VLTError, VLTWarning

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # users of the original type --data_root
}
PATH = LocalPath()
CHECKPOINT = HubPath()
DATA_SET = HubPath()

set_option = click.option(
    "--set", "assignments", metavar="A.B=VALUE", multiple=True, help="Override a key of CONFIG; may be repeated."
)
device_option = click.option("--device", help="Such as cpu or cuda:1.  [default: a GPU where there is one]")

refine_option = click.option(
    "--refine/--no-refine",
    default=True,
    show_default=True,
    help="Refine mask outlines if the checkpoint includes a refiner.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["onnx", "torch"]),
    help="ONNX Runtime with the graphs of `vlt export`, or PyTorch.  [default: the graphs where there are any]",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="CPU threads; 1 is fastest while other programs use the CPU.  [default: one per core]",
)

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
NOISY = ("transformers", "torch", "accelerate", "PIL")
DEBUG = "vlt.debug"
OPTIONAL = {
    *("accelerate", "h5py", "packaging", "tensorboard", "torch", "torchmetrics", "tqdm", "transformers"),
    *("onnx", "onnx_ir", "onnxscript"),
}
"""Modules that a plain installation need not have."""
EXTRAS = {"export": "export"}
"""By command, the extra of the package that it needs; where none is named: train."""


class Command(click.Command):
    """A command with the option `--debug`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())


class Shell(click.Group):
    """A group of commands whose errors become one sentence on stderr and an exit code."""

    command_class = Command
    group_class = type  # groups inside it are of this kind too

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that `ctx` names."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # letters that the console lacks are escaped, not an error
                stream.reconfigure(errors="backslashreplace")
        try:
            with quiet_libraries():
                return super().invoke(ctx)
        except VLTError as error:
            if ctx.meta.get(DEBUG):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as error:
            is_optional = (error.name or "").partition(".")[0] in OPTIONAL
            if ctx.meta.get(DEBUG) or ctx.parent is not None or not is_optional:
                raise
            command = str(ctx.invoked_subcommand)
            click.echo(
                f"error: `vlt {command}` needs {error.name}, which the plain installation does not have; "
                f'`pip install "vlt[{EXTRAS.get(command, "train")}]"` adds it.',
                err=True,
            )
            ctx.exit(1)
        except OSError as error:  # a name that is too long, a disk that is full
            if ctx.meta.get(DEBUG):
                raise
            name = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {name}{error.strerror or error}.", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)


def examples(*commands: str) -> str:
    """Format example commands for the end of a help text."""
    return "\n".join(["\b", "Examples:" if len(commands) > 1 else "Example:", *(f"  {one}" for one in commands)])


def debug_option() -> click.Option:
    """Make the option `--debug`, which may stand before or after the name of a command."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, value: context.meta.update({DEBUG: True}) if value else None,
        help="Show the traceback of an error.",
    )


def writable_file(path: Path) -> Path:
    """Check that a file can be written, before anything is computed."""
    if path.is_dir():
        raise click.BadParameter(f"{path} is a directory; name a file inside it.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent} for {path.name}; make it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written: permission denied.")
    return path


def writable_picture(path: Path) -> Path:
    """Check that a picture can be written, and that its ending names a format."""
    if path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{path} names no picture format; end it in {' or '.join(PICTURES)}.")
    return writable_file(path)


def checked(check: Callable[[Path], Path]) -> Callable[..., Path | None]:
    """Make a callback that runs `check` where the option is given."""
    return lambda _context, _parameter, path: None if path is None else check(path)


def set_threads(threads: int | None) -> None:
    """Set the number of CPU threads; call it before torch is imported.

    Prints a hint if the machine is busy: PyTorch's threads wait for each other, so one thread is then much faster.
    """
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ and hasattr(os, "getloadavg"):
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        if load > cores:
            click.echo(
                f"note: the CPU is busy (load {load:.1f} on {cores} cores); --threads 1 may be faster.", err=True
            )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Print our own warnings as one line each on stderr, and silence those of the libraries."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", VLTWarning)
        warnings.showwarning = lambda message, *_args, **_options: click.echo(f"warning: {message}", err=True)
        yield
