"""Images to compose scenes of: a few of COCO's format and a street-fashion set, in colours that identify them."""

import json

import numpy as np
from PIL import Image

from vlt.prepare.coco_scenes import CocoScenes
from vlt.prepare.instances import CocoFile, read_instance_file
from vlt.prepare.sources import CocoPhoto
from vlt.prepare.splits import is_validation

HEIGHT, WIDTH = 160, 200
CATEGORIES = {1: "person", 3: "car", 18: "dog", 62: "chair"}
GRAY, GREEN, BLUE, MAGENTA = (130, 130, 130), (30, 140, 50), (20, 60, 200), (250, 0, 250)
LABELS = {0: "null", 1: "dress", 2: "boots", 3: "skin", 4: "pants"}


def sides(count):
    """The first image ids for training and for validation."""
    train = [i for i in range(1, 400) if not is_validation(i)]
    return train[:count], [i for i in range(1, 400) if is_validation(i)][:count]


def rectangle(x0, y0, x1, y1):
    """A polygon."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def striped(colour, size):
    """A colour, every fourth row a little darker and every fourth a little lighter: (H, W, 3)."""
    rows = np.array([0, -25, 0, 25])[np.arange(size[0]) % 4]
    return np.clip(np.array(colour) + rows[:, None, None] + np.zeros((*size, 1), int), 0, 255)


def write_coco(root, photos, background=GRAY):
    """Write an instance file and its images, id -> [(category, box, colour, changes)]; MAGENTA in validation."""
    folder = root / "photos"
    folder.mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
    }
    for image_id, things in photos.items():
        validation = is_validation(image_id)
        pixels = np.full((HEIGHT, WIDTH, 3), MAGENTA if validation else background, np.uint8)
        name = f"{image_id}.png"
        content["images"].append({"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for category, (x0, y0, x1, y1), colour, changes in things:
            pixels[y0:y1, x0:x1] = MAGENTA if validation else striped(colour, (y1 - y0, x1 - x0))
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": rectangle(x0, y0, x1, y1),
                    "iscrowd": 0,
                    **changes,
                }
            )
        pixels[0, 0] ^= np.array([image_id % 16, image_id // 16 % 16, 0], np.uint8)  # copies would be merged
        Image.fromarray(pixels).save(folder / name)
    (root / "instances.json").write_text(json.dumps(content))
    return root / "instances.json", folder


def write_people(root, numbers):
    """Write a street-fashion set: a person in a green dress and blue boots per image; MAGENTA in validation."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in numbers:
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[20:110, 70:130], labels[110:140, 70:130], labels[10:20, 90:110] = 1, 2, 3
        colours = np.array([GRAY, GREEN, BLUE, (210, 170, 150)], np.uint8)
        pixels = np.full((HEIGHT, WIDTH, 3), MAGENTA, np.uint8) if is_validation(number) else colours[labels]
        Image.fromarray(pixels).save(root / "images" / f"{number:04}.jpg", quality=95)
        Image.fromarray(labels).save(root / "labels" / f"{number:04}.png")
    (root / "labels.json").write_text(json.dumps(LABELS))
    return root


def two_cars_and_a_dog():
    """Objects of an image."""
    return [
        (3, (4, 60, 64, 120), GREEN, {}),
        (3, (130, 70, 190, 130), BLUE, {}),
        (18, (70, 20, 125, 80), (20, 20, 20), {}),
    ]


def two_chairs():
    """Objects of another image."""
    return [(62, (10, 50, 70, 150), GREEN, {}), (62, (100, 60, 160, 120), (240, 240, 240), {})]


def write_both(root, count=4):
    """Write images of both kinds for training and for validation, `count` of each."""
    train, validation = sides(count)
    things = {i: two_cars_and_a_dog() if n % 2 else two_chairs() for n, i in enumerate((*train, *validation))}
    return *write_coco(root / "coco", things), write_people(root / "fashion", (*train, *validation))


def coco_sources(instances, images):
    """The images of an instance file."""
    found = CocoScenes(read_instance_file(instances, CocoFile), images)
    return [CocoPhoto(scene, images / scene.photo.file_name, found.categories) for scene in found]


def write_photo(root, *things):
    """Write an instance file with a training image of these objects, and read it."""
    [source] = coco_sources(*write_coco(root, {sides(1)[0][0]: list(things)}))
    return source


def same_picture(one, other):
    """Whether two pictures have the same pixels and masks."""
    return np.array_equal(one.image, other.image) and all(
        np.array_equal(a.mask, b.mask) for a, b in zip(one.layers, other.layers, strict=True)
    )
