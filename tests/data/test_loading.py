"""Loading in worker processes: the same batches as without, and one error in place of a hang."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vlt.data.loading import load_batches
from vlt.errors import CheckpointError, DataError

BATCHES = [[3, 1], [2, 0], [5, 4], [9], [7, 8]]


class Tensors:
    """Item i is filled with i."""

    def __getitem__(self, index):
        return torch.full((3, 4), index), np.full(2, index)


class Broken:
    """Raises one of our errors, or one of another library, for a single item."""

    def __init__(self, error):
        self.error = error

    def __getitem__(self, index):
        if index == 5:
            raise self.error
        return index


class Deadly:
    """Kills the process that loads item 5, as the kernel does where memory is short."""

    def __getitem__(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


class Unshareable:
    """Gives items that cannot be moved to shared memory."""

    def __getitem__(self, index):
        return self

    def __reduce__(self):
        raise RuntimeError("no space on device (28)")


class Huge:
    """Does not fit into the memory that tests for shared memory leave."""

    def __getitem__(self, index):
        return torch.zeros(2_000_000)


def stack(items):
    return torch.stack([tensor for tensor, _ in items]), [array.tolist() for _, array in items]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_leave_the_random_state_alone(workers):
    before = torch.get_rng_state()
    found = list(load_batches(Tensors(), BATCHES, stack, workers=workers))
    assert [tensor[:, 0, 0].tolist() for tensor, _ in found] == BATCHES
    assert [[array[0] for array in arrays] for _, arrays in found] == BATCHES
    assert torch.equal(before, torch.get_rng_state())


def test_the_next_batch_is_loaded_while_one_is_used():
    """Only a loader that works ahead sets the event while the first batch is still in use."""
    second_loaded = threading.Event()

    class Items:
        def __getitem__(self, index):
            if index == 1:
                second_loaded.set()
            return index

    loaded = load_batches(Items(), [[0], [1], [2]], list, workers=0)
    assert next(loaded) == [0]
    assert second_loaded.wait(timeout=30)
    loaded.close()
    assert not any(thread.name.startswith("load") for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_ours_keeps_its_class_and_sentence(workers):
    loaded = load_batches(Broken(CheckpointError("One sentence.")), BATCHES, list, workers=workers)
    assert [next(loaded), next(loaded)] == BATCHES[:2]
    with pytest.raises(CheckpointError, match=r"^One sentence\.$"):
        next(loaded)


def test_a_fault_in_the_code_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="Traceback"):
        list(load_batches(Broken(ZeroDivisionError("by zero")), BATCHES, list, workers=2))


def test_a_killed_worker_is_one_sentence_with_the_remedy():
    began = time.monotonic()
    handler = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(DataError, match=r"was killed or ran out of memory; set train\.workers to fewer or to 0"):
        list(load_batches(Deadly(), BATCHES, list, workers=2))
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGCHLD) == handler  # nothing is raised in the middle of a training step


def test_a_batch_that_cannot_be_handed_over_is_one_sentence():
    with pytest.raises(DataError, match=r"could not hand over a batch \(no space .*\(28\)\); set train"):
        list(load_batches(Unshareable(), BATCHES, list, workers=1))


SMALL_SHARED_MEMORY = """
import sys
sys.path[:0] = [{folder!r}]
from test_loading import Huge
from vlt.data.loading import load_batches
from vlt.errors import DataError
try:
    list(load_batches(Huge(), [[0], [1], [2]], lambda items: items[0], workers=2))
except DataError as error:
    print(f"DataError: {{error}}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/shm is Linux")
def test_little_shared_memory_ends_with_the_sentence():
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    code = SMALL_SHARED_MEMORY.format(folder=os.path.dirname(__file__))
    inner = 'mount -t tmpfs -o size=128k tmpfs /dev/shm && exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", inner, sys.executable, code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.startswith("DataError: A process that loads data"), result.stderr
    assert "--shm-size" in result.stdout


ORPHAN = """
import os, sys, time
sys.path[:0] = [{folder!r}]
from test_loading import Tensors, stack
from vlt.data.loading import load_batches
loaded = load_batches(Tensors(), [[0]] * 1000, stack, workers=1)
next(loaded)
import multiprocessing
print(multiprocessing.active_children()[0].pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux")
def test_workers_end_with_their_parent():
    code = ORPHAN.format(folder=os.path.dirname(__file__))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    worker = int(result.stdout)
    for _ in range(40):
        try:
            state = Path(f"/proc/{worker}/stat").read_text().split()[2]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent")
