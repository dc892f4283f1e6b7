"""A predictor without weights, for tests of what surrounds the network: it finds what is red."""

import weakref

import numpy as np

from vlt.config.inference import InferenceConfig
from vlt.geometry import Letterbox
from vlt.infer import Logits, Predictor
from vlt.text.words import Words

INPUT_SIZE = (64, 96)


class WordCounts:
    """A text reader for which a word is its number of letters."""

    max_words = 12
    fingerprint = "letters"

    def __call__(self, expression):
        words = expression.split()
        values = np.array([len(word) for word in words][: self.max_words])
        return Words(values, (), max(0, len(words) - self.max_words))

    def save(self, folder):
        raise NotImplementedError


class Encoded:
    """Features of `RedEngine`: the images themselves."""

    def __init__(self, images):
        self.images = images


class RedEngine:
    """Finds what is red, or what is not where the first word has an even number of letters.

    It counts what it is given, so that a test can see how images are shared and how many are in memory at once.

    Args:
        scale: of the logits.
        slope: added to the logits at the right border, and subtracted at the left one.
    """

    hardware = "test machine"

    def __init__(self, scale=8.0, slope=0.0):
        self.scale = scale
        self.slope = slope
        self.encoded = []  # number of images of each call
        self.segmented = []  # (images encoded together, expressions) of each call
        self.alive = weakref.WeakSet()
        self.most_alive = 0

    def encode(self, images):
        self.encoded.append(len(images))
        features = Encoded(images)
        self.alive.add(features)
        self.most_alive = max(self.most_alive, sum(len(each.images) for each in self.alive))
        return features

    def segment(self, encoded, image_index, words, word_mask):
        self.segmented.append((len(encoded.images), len(words)))
        red = encoded.images[image_index, :1] - 0.5  # (B, 1, H, W)
        even = (words[:, 0] % 2 == 0)[:, None, None, None]
        slope = np.linspace(-self.slope, self.slope, red.shape[-1])
        return Logits((self.scale * np.where(even, -red, red) + slope).astype(np.float32))


class BrokenEngine(RedEngine):
    """Gives NaN for expressions whose first word has as many letters as `letters`."""

    def __init__(self, letters):
        super().__init__()
        self.letters = letters

    def segment(self, encoded, image_index, words, word_mask):
        masks = super().segment(encoded, image_index, words, word_mask).masks
        masks[words[:, 0] == self.letters, :, 3, 5] = np.nan
        return Logits(masks)


class BoxesEngine(RedEngine):
    """Chooses among the same boxes for each expression.

    Args:
        boxes: of the candidates, xyxy as shares of the input.
        probability: of each, nothing, and something that is no candidate.
    """

    def __init__(self, boxes, probability):
        super().__init__()
        self.boxes, self.probability = boxes, probability

    def segment(self, *arguments):
        masks = super().segment(*arguments).masks
        outcomes = np.log(np.tile(np.array(self.probability, np.float32), (len(masks), 1)))
        return Logits(masks, outcomes, np.tile(np.array(self.boxes, np.float32), (len(masks), 1, 1)))


class BoxSegmenter:
    """Fills the box of its prompt, more certain towards its middle, and keeps the prompts."""

    def __init__(self):
        self.prompts = []

    def encode(self, image):
        return image.shape

    def segment(self, encoded, boxes, points):
        self.prompts.append((boxes, points))
        x0, y0, x1, y1 = boxes[0]
        rows, columns = (np.arange(side // 4) * 4 + 2 for side in encoded[1:])
        across, down = np.minimum(columns - x0, x1 - columns)[None], np.minimum(rows - y0, y1 - rows)[:, None]
        logits = np.minimum(across, down).clip(-400, 400)[None, None] / 20
        return logits.astype(np.float32), np.full((1, 1), 0.9, np.float32)


def make_predictor(engine=None, *, refiner=None, **settings):
    """A predictor of `engine`, with settings of `InferenceConfig`; three expressions per forward pass by default."""
    section = InferenceConfig(**{"batch_size": 3, **settings})
    return Predictor(engine or RedEngine(), WordCounts(), section, input_size=INPUT_SIZE, refiner=refiner)


def draw_image(mask, generator):
    """An image of random colours, red strong exactly where `mask` is."""
    image = generator.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    image[..., 0] = np.where(mask, 255, 0)
    return image


def noise_image(seed, size=(50, 70)):
    """An image of random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def as_tuples(predictions):
    """Predictions as values that can be compared."""
    return [(one.expression, one.score, one.box, one.mask.tobytes()) for one in predictions]


def chosen_box(size, x0, y0, x1, y1):
    """A box in pixels of an image of this size as shares of the network's input."""
    letterbox = Letterbox(size, INPUT_SIZE)
    (top, left), (height, width) = letterbox.offset, letterbox.inner_size
    return tuple(
        (side / of * inner + start) / whole
        for side, of, inner, start, whole in (
            (x0, size[1], width, left, INPUT_SIZE[1]),
            (y0, size[0], height, top, INPUT_SIZE[0]),
            (x1, size[1], width, left, INPUT_SIZE[1]),
            (y1, size[0], height, top, INPUT_SIZE[0]),
        )
    )
