"""Small referring video sets, written by hand in the published layouts; frames have 6 x 8 pixels."""

import json

import numpy as np
from PIL import Image as PILImage

from vlt.data.masks import encode_rle

SIZE = (6, 8)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n"


def rectangle(left, top, right, bottom):
    """(6, 8) bool, the pixels left <= x < right, top <= y < bottom."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


UPPER, LOWER = rectangle(0, 0, 4, 2), rectangle(3, 4, 8, 6)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_frame(folder, video, frame, size=SIZE):
    path = folder / video / f"{frame}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.full((*size, 3), 200, np.uint8)).save(path)


def write_palette(folder, video, frame, objects, size=SIZE):
    """A PNG whose palette index is the id of the object: `objects` has a mask per id."""
    ids = np.zeros(size, np.uint8)
    for number, mask in objects.items():
        ids[mask] = number
    image = PILImage.fromarray(ids)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [9] * 759)
    path = folder / video / f"{frame}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def expression(text, obj_id=None, **more):
    return {"exp": text} | ({} if obj_id is None else {"obj_id": obj_id}) | more


COWS = {
    "00000": {1: UPPER, 2: LOWER},
    "00005": {1: UPPER, 2: LOWER},
    "00010": {2: UPPER},  # object 1 has left
}
"""Frames of the video cows, and the objects in them."""


def write_youtube(root, split="train", **videos):
    """A set in the layout of Ref-YouTube-VOS: the video cows, and others as {"expressions": ..., "frames": ...}."""
    about = {
        "0": expression(" the left cow ", "1"),
        "1": expression("the panda", "2"),
        "2": expression("a cow that leaves", "1"),
    }
    content = {"cows": {"expressions": about, "frames": list(COWS)}, **videos}
    write_json(root / "meta_expressions" / split / "meta_expressions.json", {"videos": content})
    for frame, objects in COWS.items():
        write_frame(root / split / "JPEGImages", "cows", frame)
        write_palette(root / split / "Annotations", "cows", frame, objects)
    nouns = {"1": {"category": "cow", "frames": ["00000"]}, "2": {"category": "giant_panda"}}
    write_json(root / split / "meta.json", {"videos": {"cows": {"objects": nouns}}})


def run_lengths(mask, **changes):
    return {**encode_rle(mask), **changes}


def write_mevis(root, split="valid_u", videos=None, masks=None):
    """A set in the layout of MeViS: a video of three frames with two objects, of which one is missing in the second."""
    frames = ["00000", "00001", "00002"]
    about = {
        "0": expression("birds that fly", [0, 1], anno_id=[71, 70]),
        "1": expression("bird that vanishes", [1], anno_id=[71]),
    }
    videos = {"birds": {"expressions": about, "frames": frames}} if videos is None else videos
    if masks is None:
        there, short = run_lengths(UPPER), run_lengths(LOWER)
        masks = {"70": [there, there, there], "71": [short, None, short]}
    write_json(root / split / "meta_expressions.json", {"videos": videos})
    write_json(root / split / "mask_dict.json", masks)
    for frame in frames:
        write_frame(root / split / "JPEGImages", "birds", frame)


def write_davis(root, annotations="Annotations_unsupervised"):
    """Ref-DAVIS17 as published: a video of the validation split with two objects, and one of the training split."""
    for name, text in {
        "Davis17_annot1": b'bear 1 "a brown bear"\nbear 2 "the cub"\nclasic-car 1 "a car"\n',
        "Davis17_annot1_full_video": b'bear 1 "a bear that walks"\nbear 2 "a cub running"\nclasic-car 1 "it drives"\n',
        "Davis17_annot2": b'bear 1 "the bear\x92s head"\n\nbear 2 "cub"\nclasic-car 1 "old car"\n',
        "Davis17_annot2_full_video": b'bear 1 \x93bear\nbear 2 "small one"\nclasic-car 1 "old car turning"\n',
    }.items():
        path = root / "davis_text_annotations" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)
    davis = root / "DAVIS"
    for split, video in (("val", "bear"), ("train", "classic-car")):
        write_json(davis / "ImageSets" / "2017" / f"{split}.txt", f"{video}\n")
        for frame in ("00000", "00001"):
            write_frame(davis / "JPEGImages" / "480p", video, frame)
            write_palette(davis / annotations / "480p", video, frame, {1: UPPER, 2: LOWER})
    write_json(davis / "davis_semantics.json", {"bear": {"1": "bear", "2": "bear"}, "classic-car": {"1": "car"}})
