import numpy as np
import pytest

from vlt.data.masks import encode_rle
from vlt.errors import DataError
from vlt.evaluate import centred_box, evaluate, mean_box_share, whole_image
from vlt.types import Expression, Referral


def images_of(*sizes):
    return [np.zeros((*size, 3), np.uint8) for size in sizes]


def referral(size, rows, columns, encode=lambda mask: mask):
    mask = np.zeros(size, dtype=bool)
    mask[rows, columns] = True
    image = np.zeros((*size, 3), dtype=np.uint8)
    return Referral(
        ref_id=5, image=image, targets=(encode(mask),), expressions=(Expression(1, "a"), Expression(2, "b c"))
    )


def test_whole_image():
    masks = list(whole_image(images_of((3, 5), (1, 1)), [["a"], ["b", "c"]]))
    assert [len(some) for some in masks] == [1, 2]
    assert [(mask.shape, mask.dtype, mask.all()) for mask in (masks[0][0], masks[1][1])] == [
        ((3, 5), bool, True),
        ((1, 1), bool, True),
    ]


@pytest.mark.parametrize(
    ("size", "share", "rows", "columns"),
    [
        ((10, 20), (0.4, 0.5), (3, 7), (5, 15)),
        ((10, 20), (1, 1), (0, 10), (0, 20)),
        ((1, 1), (0.1, 0.1), (0, 1), (0, 1)),
    ],
)
def test_centred_box(size, share, rows, columns):
    [[mask, other]] = centred_box(share)(images_of(size), [["a", "b"]])
    assert np.array_equal(mask, other)
    expected = np.zeros(size, dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    assert np.array_equal(mask, expected)


def test_the_mean_box_by_hand():
    train = [
        referral((10, 20), slice(2, 7), slice(0, 4)),  # 5/10 high, 4/20 wide
        referral((100, 50), slice(99, 100), slice(0, 30), encode_rle),  # 1/100 high, 30/50 wide
        referral((10, 10), slice(0, 0), slice(0, 0)),  # empty: has no box
    ]
    assert mean_box_share(train) == pytest.approx(((0.5 + 0.01) / 2, (0.2 + 0.6) / 2))


def test_the_mean_box_of_nothing_is_refused():
    with pytest.raises(DataError, match="none of the 1 referrals has a target"):
        mean_box_share([referral((10, 10), slice(0, 0), slice(0, 0))])


def test_a_referral_without_a_target_has_no_box():
    one = referral((10, 20), slice(2, 7), slice(0, 4))
    none = Referral(ref_id=6, image=one.image, targets=(), expressions=one.expressions, category=-1)
    assert mean_box_share([one, none]) == mean_box_share([one])
    with pytest.raises(DataError, match="none of the 1 referrals has a target"):
        mean_box_share([none])


def test_baselines_are_evaluated_like_a_model():
    train = [referral((40, 60), slice(10, 30), slice(15, 45))]  # centred, half as high and wide
    whole, box = (evaluate(each, train).scores for each in (whole_image, centred_box(mean_box_share(train))))
    assert whole.miou == pytest.approx(0.25)
    assert box.miou == 1
    assert whole.count == box.count == 2
