"""Rules for every command: quick help, one sentence per error, only results on stdout."""

import os
import subprocess
import sys
import warnings

import click
import pytest
from click.testing import CliRunner

import vlt
from vlt.cli import main
from vlt.cli.shell import Shell, set_threads, writable_file
from vlt.errors import InputError, VLTWarning

COMMANDS = [
    *(f"prepare {form}" for form in ("refer", "seqtr", "mdetr", "video", "coco", "label-studio", "cvat", "scenes")),
    *("train", "test", "predict", "info", "pack", "convert"),
]


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def python(*arguments, **options):
    command = [sys.executable, "-m", "vlt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


LOADED_BY_HELP = """
import sys
before = {*sys.modules}
from vlt.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
print("\\n" + " ".join({*sys.modules} - before))
"""
QUICK = {*sys.stdlib_module_names, "click", "colorama", "vlt"}
"""Packages that load in a moment: the standard library, click, and what click needs on Windows."""
OUR_QUICK = ("vlt.cli", "vlt.errors", "vlt.version")
"""Our modules that import nothing else."""


@pytest.mark.parametrize("command", ["", "prepare", "prepare video", "predict", "test", "train"])
def test_help_is_quick_because_it_loads_the_standard_library_and_click_alone(command):
    """Counts modules in place of seconds, which depend on the load of the machine."""
    arguments = [sys.executable, "-c", LOADED_BY_HELP, *command.split(), "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    output, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    assert "Usage:" in output
    loaded = modules.split()
    assert "click" in loaded
    assert {name.partition(".")[0] for name in loaded} - QUICK == set()
    ours = {name for name in loaded if name.startswith("vlt.")}
    assert {name for name in ours if not f"{name}.".startswith(tuple(f"{one}." for one in OUR_QUICK))} == set()


@pytest.mark.parametrize("command", ["", "prepare", *COMMANDS])
def test_help(command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout
    assert f"Usage: main {command}".strip() in result.stdout
    if command in COMMANDS:
        assert f"vlt {command} " in result.stdout.split("Example")[1]


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
    assert result.stderr.startswith("error: There is no image")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


MISSING = ["predict", "none.jpg", "dog", "--checkpoint", "none", "--json"]


@pytest.mark.parametrize("arguments", [["--debug", *MISSING], [*MISSING, "--debug"]])
def test_debug_shows_the_traceback(arguments):
    assert isinstance(run(*arguments).exception, InputError)
    done = python(*arguments)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "vlt.errors.InputError: There is no image none.jpg; check the path."


def test_without_debug_there_is_none():
    done = python(*MISSING)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: There is no image none.jpg; check the path.\n"


# ---------------------------------------------------------------- threads and files


@pytest.fixture
def no_threads(monkeypatch):
    """No number of threads in the environment, and none that a test leaves there."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="the load of the machine is not known here")
def test_a_busy_machine_is_told_about_threads(no_threads, capsys):
    no_threads.setattr(os, "cpu_count", lambda: 2)
    no_threads.setattr(os, "getloadavg", lambda: (3.5, 0, 0))
    set_threads(None)
    assert capsys.readouterr() == ("", "note: the CPU is busy (load 3.5 on 2 cores); --threads 1 may be faster.\n")
    no_threads.setattr(os, "getloadavg", lambda: (1.5, 9, 9))
    set_threads(None)
    no_threads.setattr(os, "getloadavg", lambda: (3.5, 0, 0))
    no_threads.setenv("OMP_NUM_THREADS", "2")
    set_threads(None)
    assert capsys.readouterr() == ("", "")


def test_threads_are_set_before_torch_is_imported():
    code = """
import sys
from vlt.cli.shell import set_threads
set_threads(1)
assert "torch" not in sys.modules
import torch
print(torch.get_num_threads())
"""
    environment = {key: value for key, value in os.environ.items() if not key.endswith("NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert done.stdout == "1\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_to_write(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(click.BadParameter, match="permission denied"):
        writable_file(tmp_path / "a.png")


# ---------------------------------------------------------------- a shell with commands that fail


@click.group(cls=Shell)
def shell():
    """For the tests below."""


@shell.command()
@click.argument("what")
def act(what):
    """Does it."""
    if what == "letters":
        click.echo("кот \N{DOG FACE}")
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


def test_letters_that_the_console_lacks_are_escaped():
    result = CliRunner(charset="cp1252").invoke(shell, ["act", "letters"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout == "\\u043a\\u043e\\u0442 \\U0001f436\n"


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
