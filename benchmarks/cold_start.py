"""Measure the time from the command `vlt predict` to the mask, by phase.

python benchmarks/cold_start.py [CHECKPOINT] [IMAGE] [RUNS]

Without CHECKPOINT (or with "-") the model of the package is used. Prints seconds, each run in a process of its own:
`imports`, including those that loading causes; `load` of the checkpoint, measured on a second load, when all is
imported; the `first` prediction, which encodes the image, and a `second` one about the same image. Beside them the
whole command `vlt predict`, in another process. After the first run the files are in the disk's cache.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGE = Path(__file__).parents[1] / "examples" / "shapes.png"
PHASES = ("imports", "load", "first", "second")

INSIDE = """
import json, sys, time

checkpoint, image = sys.argv[1:]
checkpoint = None if checkpoint == "-" else checkpoint
times = [time.perf_counter()]
from vlt import load
load(checkpoint)
times.append(time.perf_counter())
predictor = load(checkpoint)
times.append(time.perf_counter())
features = predictor.encode(image)
for expression in ("star on the left", "black square"):
    predictor.predict(features, expression)
    times.append(time.perf_counter())
once, again, first, second = (after - before for before, after in zip(times, times[1:]))
print(json.dumps([once - again, again, first, second]))
"""


def main(checkpoint="-", image=IMAGE, runs=3):
    """Run the processes and print a line per run."""
    print("  ".join(f"{name:>14}" for name in (*PHASES, "vlt predict")))
    for _ in range(int(runs)):
        inside = json.loads(timed(sys.executable, "-c", INSIDE, checkpoint, str(image))[1])
        named = [] if checkpoint == "-" else ["--checkpoint", checkpoint]
        with tempfile.TemporaryDirectory() as folder:
            overlay = str(Path(folder) / "overlay.png")
            command = ["-m", "vlt", "predict", str(image), "star on the left", "--output", overlay, *named]
            whole, _ = timed(sys.executable, *command)
        print("  ".join(f"{seconds:14.2f}" for seconds in (*inside, whole)))


def timed(*command):
    """Run a process and return its wall seconds and output."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
