import numpy as np
import pytest
from PIL import Image as PILImage

from vlt.errors import VLTError
from vlt.evaluate import Shard, Worst, evaluate


def kept_sentences(paths):
    return [int(path.stem.split("sent")[1]) for path in paths]


def worst_of(report, count):
    return [record.sent_id for record in sorted(report.records, key=lambda record: record.iou)[:count]]


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_worst_answers_are_drawn_worst_first(model, text, referrals, config, tmp_path, count):
    worst = Worst(count)
    report = evaluate(model, text, referrals, config, on_sample=worst)
    paths = worst.save(tmp_path / "worst")
    assert kept_sentences(paths) == worst_of(report, count)
    assert sorted(paths) == sorted((tmp_path / "worst").iterdir())
    for path in paths:
        with PILImage.open(path) as picture:
            assert np.asarray(picture).std() > 0


def test_processes_together_draw_what_one_does(model, text, referrals, config, tmp_path):
    alone, parts = Worst(4), [Worst(4), Worst(4)]
    report = evaluate(model, text, referrals, config, on_sample=alone)
    for rank, part in enumerate(parts):
        evaluate(
            model, text, referrals, config, on_sample=part, shard=Shard(rank, 2, lambda mine: list(report.records))
        )
    lists = []
    for rank, part in enumerate(parts):  # what each would send
        part.save(tmp_path / "unused", Shard(rank, 2, lambda mine: lists.append(mine) or []))
    joined = Shard(0, 2, lambda mine: [*lists[0], *lists[1]])
    together = parts[0].save(tmp_path / "together", joined)
    assert kept_sentences(together) == kept_sentences(alone.save(tmp_path / "alone"))
    assert parts[1].save(tmp_path / "second", Shard(1, 2, joined.gather)) == []
    assert not (tmp_path / "second").exists()


def test_a_folder_that_cannot_be_made_is_said(model, text, referrals, config, tmp_path):
    (tmp_path / "file").write_text("")
    worst = Worst(1)
    evaluate(model, text, referrals, config, on_sample=worst)
    with pytest.raises(VLTError, match="cannot be written"):
        worst.save(tmp_path / "file" / "worst")
