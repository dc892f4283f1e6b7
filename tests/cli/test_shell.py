"""What holds for every command: quick help, one sentence per error, results apart from the rest."""

import subprocess
import sys
import time
import warnings

import click
import pytest
from click.testing import CliRunner

import vlt
from vlt.cli import main
from vlt.cli.shell import Shell
from vlt.errors import InputError, VLTWarning

COMMANDS = ["prepare refer", "prepare coco", "prepare scenes", "train", "test", "predict", "info", "pack", "convert"]


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def python(*arguments, **options):
    command = [sys.executable, "-m", "vlt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.mark.parametrize("command", ["", "prepare", *COMMANDS])
def test_help(command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout
    assert f"Usage: main {command}".strip() in result.stdout
    if command in COMMANDS:
        assert f"vlt {command} " in result.stdout.split("Example")[1]


def test_help_takes_less_than_half_a_second():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert python("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"vlt, version {vlt.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("train",), ("train", "a.yaml", "--sett", "b"), ("predict", "a.png")]
)
def test_wrong_usage_exits_with_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error:" in result.stderr


def test_a_configuration_error_exits_with_2_and_another_with_1(tmp_path):
    result = run("train", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: There is no configuration file")
    result = run("predict", str(tmp_path / "none.jpg"), "dog", "--checkpoint", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: There is no photo")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


ASKED = ["predict", "none.jpg", "dog", "--checkpoint", "none", "--json"]


@pytest.mark.parametrize("arguments", [["--debug", *ASKED], [*ASKED, "--debug"]])
def test_debug_shows_the_traceback(arguments):
    assert isinstance(run(*arguments).exception, InputError)
    done = python(*arguments)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "vlt.errors.InputError: There is no photo none.jpg; check the path."


def test_without_debug_there_is_none():
    done = python(*ASKED)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: There is no photo none.jpg; check the path.\n"


# ---------------------------------------------------------------- a shell with commands that fail


@click.group(cls=Shell)
def shell():
    """For the tests below."""


@shell.command()
@click.argument("what")
def act(what):
    """Does it."""
    if what == "warn":
        for _ in range(3):
            warnings.warn(VLTWarning("Some words are unknown."), stacklevel=1)
        warnings.warn("noise from below", UserWarning, stacklevel=1)
        warnings.warn("noise from below", DeprecationWarning, stacklevel=1)
        click.echo("result")
    errors = {"input": InputError("A sentence."), "stop": KeyboardInterrupt(), "bug": ZeroDivisionError("a bug")}
    if what in errors:
        raise errors[what]


def test_warnings_are_one_line_each_on_stderr():
    result = CliRunner().invoke(shell, ["act", "warn"])
    assert result.stdout == "result\n"
    assert result.stderr == "warning: Some words are unknown.\n"


def test_warnings_of_the_caller_stay_as_they_were():
    before = warnings.filters[:], warnings.showwarning
    CliRunner().invoke(shell, ["act", "warn"])
    assert (warnings.filters, warnings.showwarning) == before


def test_an_error_is_one_sentence():
    result = CliRunner().invoke(shell, ["act", "input"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: A sentence.\n")


def test_an_interruption_is_one_line():
    result = CliRunner().invoke(shell, ["act", "stop"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted.\n")


def test_a_bug_is_not_hidden():
    result = CliRunner().invoke(shell, ["act", "bug"])
    assert isinstance(result.exception, ZeroDivisionError)
