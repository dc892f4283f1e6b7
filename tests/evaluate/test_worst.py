import numpy as np
import pytest
from PIL import Image as PILImage

from vlt.errors import VLTError
from vlt.evaluate import Shard, Worst, evaluate


def kept_ids(paths):
    return [int(path.stem.split("sent")[1]) for path in paths]


def worst_of(report, count):
    return [result.sent_id for result in sorted(report.results, key=lambda result: result.iou)[:count]]


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_worst_predictions_are_drawn_worst_first(predictor, referrals, tmp_path, count):
    worst = Worst(count)
    report = evaluate(predictor, referrals, on_outcome=worst)
    paths = worst.save(tmp_path / "worst")
    assert kept_ids(paths) == worst_of(report, count)
    assert sorted(paths) == sorted((tmp_path / "worst").iterdir())
    for path in paths:
        with PILImage.open(path) as picture:
            assert np.asarray(picture).std() > 0


def test_processes_together_draw_what_one_does(predictor, referrals, tmp_path):
    alone, parts = Worst(4), [Worst(4), Worst(4)]
    report = evaluate(predictor, referrals, on_outcome=alone)
    for rank, part in enumerate(parts):
        evaluate(predictor, referrals, on_outcome=part, shard=Shard(rank, 2, lambda mine: list(report.results)))
    lists = []
    for rank, part in enumerate(parts):  # what each would send
        part.save(tmp_path / "unused", Shard(rank, 2, lambda mine: lists.append(mine) or []))
    joined = Shard(0, 2, lambda mine: [*lists[0], *lists[1]])
    together = parts[0].save(tmp_path / "together", joined)
    assert kept_ids(together) == kept_ids(alone.save(tmp_path / "alone"))
    assert parts[1].save(tmp_path / "second", Shard(1, 2, joined.gather)) == []
    assert not (tmp_path / "second").exists()


def test_a_folder_that_cannot_be_made_is_an_error(predictor, referrals, tmp_path):
    (tmp_path / "file").write_text("")
    worst = Worst(1)
    evaluate(predictor, referrals, on_outcome=worst)
    with pytest.raises(VLTError, match="cannot be written"):
        worst.save(tmp_path / "file" / "worst")
