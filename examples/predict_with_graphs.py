"""Predict with an exported model and without the package vlt: python predict_with_graphs.py FOLDER PHOTO EXPRESSION.

FOLDER is what `vlt export` wrote for a model with candidates and a refiner, such as the model in the package. Writes
mask.png. One view, one outline: without flipped image, spelling and a comparison of outlines.
"""

import sys

import numpy as np
import onnxruntime as ort
from PIL import Image
from tokenizers import Tokenizer


def letterbox(photo, side):
    """Scale a photo into a grey square; return it as (1, 3, side, side) and its (left, top, width, height) there."""
    scale = side / max(photo.size)
    width, height = (max(1, int(length * scale)) for length in photo.size)
    left, top = (side - width) // 2, (side - height) // 2
    square = Image.new("RGB", (side, side), (128, 128, 128))
    square.paste(photo.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(square, np.float32).transpose(2, 0, 1)[None] / 255, (left, top, width, height)


folder, path, expression = sys.argv[1:]
photo = Image.open(path).convert("RGB")
image, words, outline_image, outline = (
    ort.InferenceSession(f"{folder}/{name}.onnx", providers=["CPUExecutionProvider"])
    for name in ("image", "expression", "outline_image", "outline")
)
side = image.get_inputs()[0].shape[-1]
pixels, (left, top, width, height) = letterbox(photo, side)
names = [each.name for each in image.get_outputs()]
features = dict(zip(names, image.run(None, {"images": pixels}), strict=True))
tokens = np.array([Tokenizer.from_file(f"{folder}/tokenizer/tokenizer.json").encode(expression).ids])
masks, outcomes = words.run(None, {"words": tokens, "word_mask": np.ones(tokens.shape, bool), **features})
*candidates, nothing, other = np.exp(outcomes[0] - np.logaddexp.reduce(outcomes[0]))
mask, frame = masks[0, 0], np.array([left, top, width, height]) / side  # of no candidate: the network's own mask
if max(candidates) > max(nothing, other):  # the outline in the box of the most probable candidate
    pixels, (left, top, width, height) = letterbox(photo, 1024)
    box = (features["boxes"][0, np.argmax(candidates)].reshape(2, 2) - frame[:2]) / frame[2:]  # as shares of the photo
    places = (box * (width, height) + (left, top)).astype(np.float32)[None]
    [encoded] = outline_image.run(None, {"image": pixels})
    logits, quality = outline.run(None, {"encoded": encoded, "places": places, "kinds": np.array([[2, 3]])})
    mask, frame = logits[0, quality[0].argmax()], np.array([left, top, width, height]) / 1024
corners = np.concatenate([frame[:2], frame[:2] + frame[2:]]) * mask.shape[0]
found = Image.fromarray(mask).resize(photo.size, Image.Resampling.BILINEAR, box=tuple(corners))
Image.fromarray((np.asarray(found) > 0) & (nothing < 0.5)).save("mask.png")
