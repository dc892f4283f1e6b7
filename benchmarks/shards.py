"""Measure how fast training samples are loaded from photo files, from shards on the same disk, and over HTTP.

    python benchmarks/shards.py configs/default.yaml --set data.compose=null --samples 600 --rounds 3

The training data of the configuration are written as shards into a temporary folder. Then the same number of samples is
loaded in turns from each, in the order of training: read, decoded, letterboxed, with their masks. Nothing is trained.
Printed: samples per second of each round, the mean ratio to photo files, and for HTTP (a server on this machine) the
bytes that were sent, annotations included. With `--workers N`, N processes load.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from statistics import mean

import click

from vlt.config.data import ShardsDataConfig, dataset_name
from vlt.config.reading import read_config
from vlt.config.run import Config
from vlt.dataset import load_referrals
from vlt.prepare.shards import write_shards
from vlt.text.reader import TextReader
from vlt.train.data import TrainData, load_data


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves files and parts of them, and counts the bytes sent."""

    sent = 0
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Send a file, or the part of it that the request names."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        if wanted := self.headers.get("Range"):
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or last), last)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(content[first : last + 1])
        RangeHandler.sent += last + 1 - first


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; gives its URL."""
    handler = functools.partial(RangeHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def rate(data: TrainData, config: Config, samples: int) -> float:
    """Load samples in the order of training; returns samples per second, from the first request to the last sample."""
    steps = -(-samples // config.train.batch_size)
    began = time.perf_counter()
    batches = data.batches(config, rank=0, world=1)
    loaded = sum(len(batch) for step in islice(batches, steps) for batch in step)
    seconds = time.perf_counter() - began
    batches.close()  # type: ignore[attr-defined]  # a generator
    return loaded / seconds


def with_data(config: Config, root: str, text: TextReader) -> tuple[Config, TrainData]:
    """Read the same data from shards."""
    before = config.data
    splits = {"train_split": before.train_split, "val_split": before.val_split}
    data = ShardsDataConfig(root=root, dataset=dataset_name(before), flip=before.flip, light=before.light, **splits)
    changed = config.model_copy(update={"data": data})
    return changed, load_data(changed, text)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--set", "assignments", multiple=True, help="Override a key of the configuration.")
@click.option("--samples", default=600, show_default=True, help="Samples per round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--workers", default=0, show_default=True, help="Processes that load; 0: a thread.")
@click.option("--shards", default=8, show_default=True)
def main(path: Path, assignments: tuple[str, ...], samples: int, rounds: int, workers: int, shards: int) -> None:
    """Print the rates of photo files, shards and shards over HTTP."""
    config = read_config(path, [*assignments, f"train.workers={workers}"])
    splits = {split: load_referrals(config.data, split) for split in (config.data.train_split, config.data.val_split)}
    files = load_data(config)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as url:
        began = time.perf_counter()
        print(write_shards(Path(folder), dataset_name(config.data), splits, shards=shards))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
        print(f"{size / 1e6:.0f} MB in {time.perf_counter() - began:.1f} s")
        roots = {"photo files": None, "shards": folder, "shards over HTTP": url}
        rates: dict[str, list[float]] = {kind: [] for kind in roots}
        for number in range(rounds):
            for kind, root in roots.items():
                # Opened anew, so that no photo is in memory from the round before.
                changed, data = (config, files) if root is None else with_data(config, root, files.text)
                rates[kind].append(rate(data, changed, samples))
            print(f"round {number + 1}: " + ", ".join(f"{kind} {each[-1]:.1f}/s" for kind, each in rates.items()))
        for kind, each in rates.items():
            print(f"{kind}: {mean(each) / mean(rates['photo files']):.2f} times the rate of photo files")
        print(f"sent over HTTP: {RangeHandler.sent / 1e6:.0f} MB in {rounds} rounds")


if __name__ == "__main__":
    main()
