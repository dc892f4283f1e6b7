"""Load batches ahead, in a thread or in worker processes; a failed worker raises an error and never causes a hang."""

from __future__ import annotations

import ctypes
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from vlt.errors import DataError, VLTError, reason

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
BatchT = TypeVar("BatchT")

REMEDY = (
    "set train.workers to fewer or to 0, or give the machine more memory or shared memory (/dev/shm; for a container "
    "`docker run --shm-size=8g`)"
)
PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal that a process receives when its parent ends."""


class Items(Protocol[ItemT_co]):
    """A data set whose item i depends only on i, so that any process can compute it."""

    def __getitem__(self, index: int, /) -> ItemT_co:
        """Compute an item."""


class PackedBatches(Dataset[Any], Generic[ItemT]):
    """Batches as worker processes pass them to the main process: pickled, or the error that prevented one.

    Pickling moves tensors to shared memory. It is done here because the queue's own thread would only
    print a failure, drop the batch, and leave the main process waiting forever.

    Args:
        items: data set.
        batches: indices of the items of each batch.
        collate: makes a batch of a list of items.
    """

    def __init__(
        self, items: Items[ItemT], batches: Sequence[Sequence[int]], collate: Callable[[list[ItemT]], Any]
    ) -> None:
        self.items = items
        self.batches = batches
        self.collate = collate

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> bytes | VLTError:
        """Compute and pickle a batch, or return the error that this package raised."""
        try:
            batch = self.collate([self.items[item] for item in self.batches[index]])
        except VLTError as error:
            return error
        try:
            return bytes(ForkingPickler.dumps(batch))
        except (OSError, RuntimeError) as error:
            return handover_error(error)


def load_batches(
    items: Items[ItemT],
    batches: Sequence[Sequence[int]],
    collate: Callable[[list[ItemT]], BatchT],
    *,
    workers: int,
) -> Iterator[BatchT]:
    """Yield batches in order; the random state of this process is neither read nor changed.

    Args:
        items: data set; picklable where the platform spawns worker processes.
        batches: indices of the items of each batch.
        collate: makes a batch of a list of items.
        workers: number of processes that load; 0: load in a thread of this process, one batch ahead.

    Raises:
        VLTError: as raised by `items` or `collate`, with the same class and text.
        DataError: a batch that does not fit into shared memory, or a worker process that was killed.
    """
    if not workers:
        yield from load_ahead(lambda indices: collate([items[index] for index in indices]), batches)
        return
    loaded = start_workers(PackedBatches(items, batches, collate), workers)
    for _ in range(len(batches)):
        batch = receive(loaded)
        if isinstance(batch, VLTError):
            del loaded  # ends the other workers now rather than when the error is garbage-collected
            raise batch
        yield batch


def load_ahead(load: Callable[[Sequence[int]], BatchT], batches: Sequence[Sequence[int]]) -> Iterator[BatchT]:
    """Yield batches in order; while one is used, a thread loads the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        ahead: Future[BatchT] | None = None
        for indices in batches:
            before, ahead = ahead, thread.submit(load, indices)
            if before is not None:
                yield before.result()
        if ahead is not None:
            yield ahead.result()


def receive(loaded: Iterator[bytes | VLTError]) -> Any:
    """Take the next batch from the workers, or the error that prevented it.

    Errors are returned, since one that is raised here would keep the frames of the loader, and its workers, alive.
    """
    try:
        packed = next(loaded)
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error) and "Too many open files" not in str(error):
            raise  # an error in the code of a worker, which comes with its traceback
        return DataError(f"A process that loads data was killed or ran out of memory; {REMEDY}.")
    if isinstance(packed, VLTError):
        return packed
    try:
        return pickle.loads(packed)  # tensors stay in shared memory
    except (OSError, EOFError, RuntimeError) as error:
        return handover_error(error)


def start_workers(packed: PackedBatches[Any], workers: int) -> Iterator[bytes | VLTError]:
    """Start the worker processes.

    Raises:
        DataError: they cannot be started.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if in_main_thread and hasattr(signal, "SIGCHLD") else None
    try:
        loaded = iter(
            DataLoader(
                packed,
                batch_size=None,
                collate_fn=unchanged,
                num_workers=workers,
                worker_init_fn=prepare_worker,
                generator=torch.Generator().manual_seed(0),  # otherwise the loader draws from the global generator
            )
        )
    except OSError as error:
        raise handover_error(error) from None
    # PyTorch's handler raises wherever the main process happens to be when a worker dies; the queue notices, too.
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)
    return loaded


def unchanged(value: ItemT) -> ItemT:
    """Return the argument unchanged; PyTorch's default would convert arrays in it."""
    return value


def prepare_worker(_worker: int) -> None:
    """Let a worker process ignore Ctrl-C, which reaches the whole group, and end together with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def handover_error(error: Exception) -> DataError:
    """Make the error for a batch that could not be passed from a worker to the main process, with reason and remedy."""
    return DataError(f"A process that loads data could not hand over a batch ({reason(error)[:200]}); {REMEDY}.")
