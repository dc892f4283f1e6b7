"""A folder of photos of two dogs and a bed, with its instance file, for the tests of the readers of records."""

import json

import numpy as np
from PIL import Image

from vlt.prepare.splits import is_validation

SIZE = (40, 50)
TRAIN, VAL = (next(i for i in range(1, 100) if is_validation(i) is which) for which in (False, True))
BOXES = {5: (2, 2, 12, 12), 6: (20, 2, 26, 12), 7: (4, 20, 30, 30)}
"""Of the objects of the training photo, as (x0, y0, x1, y1), by annotation id; those of the other are 10 higher."""
NAMES = {i: f"{i:012}.png" for i in (TRAIN, VAL)}


def write_photo(path, number, size=SIZE, **how):
    """Write a photo that differs from those of other numbers."""
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[0, 0] = number
    Image.fromarray(pixels).save(path, **how)


def write_folder(root):
    """Write images/ and instances.json, whose image and annotation ids are those of `NAMES` and `BOXES`."""
    (root / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 18, "name": "dog"}, {"id": 65, "name": "bed"}]}
    for image_id, offset in ((TRAIN, 0), (VAL, 10)):
        write_photo(root / "images" / NAMES[image_id], image_id)
        content["images"].append({"id": image_id, "file_name": NAMES[image_id], "height": SIZE[0], "width": SIZE[1]})
        for number, (x0, y0, x1, y1) in BOXES.items():
            content["annotations"].append(
                {
                    "id": number + offset,
                    "image_id": image_id,
                    "category_id": 65 if number == 7 else 18,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": [polygon(number)],
                }
            )
    (root / "instances.json").write_text(json.dumps(content))
    return root


def polygon(number):
    """The corners of an object's box, flat."""
    x0, y0, x1, y1 = BOXES[number]
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def mask_of(number):
    """The mask of an object, (H, W) bool."""
    x0, y0, x1, y1 = BOXES[number]
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask
