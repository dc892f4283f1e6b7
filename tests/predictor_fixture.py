"""A predictor without weights, for tests of what surrounds the network: it finds what is red."""

import weakref

import numpy as np

from vlt.config.inference import InferenceConfig
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
