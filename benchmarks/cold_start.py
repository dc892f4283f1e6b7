"""What somebody waits for between typing `vlt predict` and the answer.

python benchmarks/cold_start.py [CHECKPOINT] [PHOTO] [RUNS]

Without CHECKPOINT (or with "-") the model of the package. Seconds, each run in a process of its own: `imports`, those
that loading brings about included; `load` of the checkpoint, taken from a second time when nothing is left to import;
the `first` answer and a `second` about the same photo, already seen. Beside them the whole command `vlt predict`, in
another process. The files are in the disk's cache after the first run.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PHOTO = Path(__file__).parents[1] / "examples" / "shapes.png"
PHASES = ("imports", "load", "first", "second")

INSIDE = """
import json, sys, time

checkpoint, photo = sys.argv[1:]
checkpoint = None if checkpoint == "-" else checkpoint
times = [time.perf_counter()]
from vlt.predict import load
load(checkpoint)
times.append(time.perf_counter())
predictor = load(checkpoint)
times.append(time.perf_counter())
seen = predictor.encode(photo)
for expression in ("star on the left", "black square"):
    predictor.predict(seen, expression)
    times.append(time.perf_counter())
once, again, first, second = (after - before for before, after in zip(times, times[1:]))
print(json.dumps([once - again, again, first, second]))
"""


def main(checkpoint="-", photo=PHOTO, runs=3):
    print("  ".join(f"{name:>14}" for name in (*PHASES, "vlt predict")))
    for _ in range(int(runs)):
        inside = json.loads(timed(sys.executable, "-c", INSIDE, checkpoint, str(photo))[1])
        named = [] if checkpoint == "-" else ["--checkpoint", checkpoint]
        with tempfile.TemporaryDirectory() as folder:
            overlay = str(Path(folder) / "overlay.png")
            command = ["-m", "vlt", "predict", str(photo), "star on the left", "--output", overlay, *named]
            whole, _ = timed(sys.executable, *command)
        print("  ".join(f"{seconds:14.2f}" for seconds in (*inside, whole)))


def timed(*command):
    """Wall seconds and the output of a process."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
