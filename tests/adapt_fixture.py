"""Files about drawn images that can be adapted to: red and blue boxes on grey, a file each of JSON lines."""

import json

import numpy as np
from PIL import Image

SIZE = (48, 64)
BOXES = {"red": (4, 8, 28, 40), "blue": (36, 8, 60, 40)}
"""Colour of an object -> its box, (x0, y0, x1, y1) in pixels."""


def write_image(path, number):
    """Draw both boxes; a pixel of another colour makes each image different."""
    pixels = np.full((*SIZE, 3), 120, np.uint8)
    for channel, (x0, y0, x1, y1) in zip((0, 2), BOXES.values(), strict=True):
        pixels[y0:y1, x0:x1] = 0
        pixels[y0:y1, x0:x1, channel] = 255
    pixels[0, 0] = number
    Image.fromarray(pixels).save(path)


def make_rows(images):
    """Lines of JSON about some images: two objects each, the first with two expressions."""
    return [
        {"image": f"{number}.png", "expressions": texts, "box": BOXES[colour]}
        for number in range(images)
        for colour, texts in (("red", ["red box", "left one"]), ("blue", ["the blue box"]))
    ]


def write_lines(folder, rows):
    """Write lines and their images into a folder; return the path of the file."""
    for name in {row["image"] for row in rows}:
        write_image(folder / name, int(name.partition(".")[0]))
    path = folder / "boxes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
