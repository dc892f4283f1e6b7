import numpy as np
import pytest
import torch
from torch import nn

from vlt.config import parse_config
from vlt.data.text import Words
from vlt.types import Expression, Referral

INPUT_SIZE = (64, 96)


class WordCounts:
    """A text reader for which a word is its number of letters."""

    max_words = 12
    fingerprint = "letters"

    def __call__(self, expression):
        return Words(torch.tensor([len(word) for word in expression.split()][: self.max_words]), (), 0)

    def save(self, folder):
        raise NotImplementedError


class RedThing(nn.Module):
    """Answers with what is red, or with what is not where the first word has an even number of letters.

    It notes what it is shown, so that a test can see how photos are shared and what state it was in.
    """

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.frozen = nn.BatchNorm2d(3)
        self.seen = []

    def forward(self, images, words, word_mask, image_index=None):
        self.seen.append((len(images), len(words), self.training, self.frozen.training, torch.is_grad_enabled()))
        red = images[image_index, :1] - 0.5  # (B, 1, H, W)
        even = (words[:, 0] % 2 == 0)[:, None, None, None]
        return self.scale * torch.where(even, -red, red)


def draw_photo(mask, generator):
    """A photo of random colours, red strong exactly where `mask` is."""
    photo = generator.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    photo[..., 0] = np.where(mask, 255, 0)
    return photo


def make_referrals(texts, sizes=((64, 96),), seed=0):
    """A referral per group of texts. Two share a photo: one means a rectangle in it, the other the ground."""
    generator, referrals, sent_id = np.random.default_rng(seed), [], 100
    for index, group in enumerate(texts):
        size = sizes[index // 2 % len(sizes)]
        if index % 2 == 0:
            mask = np.zeros(size, dtype=bool)
            top, left = (int(generator.integers(0, side // 2)) for side in size)
            mask[top : top + size[0] // 2, left : left + size[1] // 2] = True
            photo = draw_photo(mask, generator)
        expressions = tuple(Expression(sent_id + place, text) for place, text in enumerate(group))
        sent_id += len(group)
        referrals.append(
            Referral(ref_id=index, image=photo, target=mask if index % 2 == 0 else ~mask, expressions=expressions)
        )
    return referrals


TEXTS = [
    ["red", "the red rectangle that everybody sees on the left of the blue ground"],
    ["that area", "noisy ground", "not red"],
    ["small thing", "big"],
    ["that what is left", "many dots around it"],
    ["one"],
    ["second from right"],
]


@pytest.fixture
def referrals():
    return make_referrals(TEXTS, sizes=((64, 96), (50, 120), (90, 40)))


@pytest.fixture
def text():
    return WordCounts()


@pytest.fixture
def model():
    model = RedThing()
    model.train()
    model.frozen.eval()
    return model


@pytest.fixture
def config(make_config):
    return make_config()


@pytest.fixture
def make_config(tmp_path):
    def make(**evaluate):
        return parse_config(
            {
                "model": {"image_size": list(INPUT_SIZE), "backbone": {"name": "darknet53"}},
                "data": {"name": "synthetic"},
                "evaluate": {"batch_size": 4, **evaluate},
                "seed": 3,
                "output_dir": str(tmp_path),
            },
            "test",
        )

    return make
