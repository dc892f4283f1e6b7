"""A prepared set of photos with one, several or no targets, and the same set in shards."""

from pathlib import Path

import numpy as np
from PIL import Image

from vlt.data.masks import encode_rle
from vlt.data.prepared import write_prepared
from vlt.types import NO_CATEGORY, Expression, PackedImage, Referral, Standing

SIDE = 48


def make_photo(path: Path, number: int) -> None:
    """A photo of noise, so that its file cannot be compressed."""
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def square(place: int) -> np.ndarray:
    """The mask of a square, one of sixteen."""
    target = np.zeros((SIDE, SIDE), bool)
    top, left = divmod(place % 16, 4)
    target[12 * top : 12 * top + 12, 12 * left : 12 * left + 12] = True
    return target


def refer_to(number: int, path: Path) -> list[Referral]:
    """Two referrals to a photo: to one square; and to two of them or, for every third photo, none."""
    words = ("red", "blue", "left", "small")
    texts = [f"the {words[number % 4]} square", f"square {number}"]
    one = Referral(
        2 * number,
        path,
        (encode_rle(square(number)),),
        tuple(Expression(10 * number + place, text) for place, text in enumerate(texts)),
        category=number % 2,
        box=(0.0, 0.0, 12.0, 12.0),
        standing=Standing(2, 1),
    )
    others = () if number % 3 == 0 else (encode_rle(square(number + 1)), encode_rle(square(number + 2)))
    category = 1 if others else NO_CATEGORY
    return [one, Referral(2 * number + 1, path, others, (Expression(10 * number + 5, "both squares"),), category)]


def write_set(root: Path, *, train: int = 24, val: int = 6) -> dict[str, object]:
    """Write the prepared set; returns it as a section `data`."""
    images = root / "images" / "train2014"
    images.mkdir(parents=True)
    splits: dict[str, list[Referral]] = {"train": [], "val": []}
    for number in range(train + val):
        make_photo(images / f"{number}.png", number)
        splits["train" if number < train else "val"] += refer_to(number, images / f"{number}.png")
    write_prepared(root, "squares", splits, generate_mask=False, images=images)
    return {"name": "refer", "root": str(root), "dataset": "squares", "images": str(images)}


def file_sizes(images: list[PackedImage]) -> list[int]:
    """Sizes of photo files in bytes; here, since a process that is started anew cannot import a file of tests."""
    return [len(image.read()) for image in images]
