import numpy as np
import pytest
from predictor_fixture import draw_image, make_predictor

from vlt.types import Expression, Referral


def make_referrals(texts, sizes=((64, 96),), seed=0):
    """A referral per group of texts. Two share an image: one refers to a rectangle in it, the other to the rest."""
    generator, referrals, sent_id = np.random.default_rng(seed), [], 100
    for index, group in enumerate(texts):
        size = sizes[index // 2 % len(sizes)]
        if index % 2 == 0:
            mask = np.zeros(size, dtype=bool)
            top, left = (int(generator.integers(0, side // 2)) for side in size)
            mask[top : top + size[0] // 2, left : left + size[1] // 2] = True
            image = draw_image(mask, generator)
        expressions = tuple(Expression(sent_id + place, text) for place, text in enumerate(group))
        sent_id += len(group)
        referrals.append(
            Referral(
                ref_id=index,
                image=image,
                targets=(mask if index % 2 == 0 else ~mask,),
                expressions=expressions,
                scene=index // 2,
            )
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
def predictor():
    return make_predictor(batch_size=4)
