"""An adaptation learns from drawn boxes, ships nothing that got worse, and leaves nothing when it fails."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from adapt_fixture import make_rows, write_lines
from safetensors.torch import load_file, save_file

from vlt.adapt import Recipe, adapt, read_adapt_data
from vlt.adapt.folder import move, refuse_target, workspace
from vlt.adapt.recipe import adapted_config
from vlt.adapt.run import evaluate_held_out, train_head
from vlt.checkpoint import load_checkpoint, pack_checkpoint, save_checkpoint
from vlt.config import parse_config
from vlt.errors import ConfigError, DataError, DivergedError, TrainingError
from vlt.model.build import build_model
from vlt.refine.promptable import PromptableSegmenter
from vlt.train.learner import Learner

QUICK = Recipe(epochs=15, lr=5e-3, ema=0.5)
ONCE = replace(QUICK, epochs=1)
DESTRUCTIVE = replace(QUICK, epochs=4, lr=1.0)


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """As in a terminal: a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """24 expressions about 8 drawn images."""
    return write_lines(tmp_path_factory.mktemp("boxes"), make_rows(8))


@pytest.fixture(scope="module")
def adapted(lines, tiny_checkpoint, tmp_path_factory):
    """A network that was adapted to the boxes, with its report."""
    out = tmp_path_factory.mktemp("adapted") / "out"
    return out, adapt(lines, out, checkpoint=tiny_checkpoint, recipe=QUICK, device="cpu")


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_gains_and_is_written(adapted, tiny_checkpoint):
    out, report = adapted
    assert report.is_kept
    assert report.after.scores.miou > report.before.scores.miou + 0.2
    assert entries(out.parent) == ["out"]  # nothing temporary
    assert entries(out) == ["adapt.json", *entries(tiny_checkpoint)]
    loaded = load_checkpoint(out)
    config = loaded.config
    assert config.model == load_checkpoint(tiny_checkpoint).config.model
    assert (config.train.epochs, config.train.map_cache, config.data.dataset) == (15, None, "boxes")
    assert loaded.meta["reports"] == [json.loads(json.dumps(report.after.to_dict()))]


def test_what_is_written_has_the_scores_of_the_report(adapted, lines):
    out, report = adapted
    loaded, data = load_checkpoint(out), read_adapt_data(lines)
    config = adapted_config(loaded.config, data, QUICK, source=out, folder=out)
    again = evaluate_held_out(loaded, data, config, out, progress=False)
    assert again.scores == report.after.scores


def test_frozen_parts_keep_their_weights(adapted, tiny_checkpoint):
    before, after = (load_file(folder / "weights.safetensors") for folder in (tiny_checkpoint, adapted[0]))
    assert before.keys() == after.keys()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "backbone" not in changed
    assert {"fusion", "transformer", "mask_decoder"} <= changed


def test_a_start_with_candidates_trains_choice_and_masks(lines, tiny_config, tiny_text, tmp_path):
    values = tiny_config.model_dump(mode="json")
    values["model"]["candidates"] = {
        "dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2
    }  # fmt: skip
    values["loss"]["candidate"] = 1.0
    values["train"]["only"] = "candidates"  # of the last run of the start, not of the adaptation
    config = parse_config(values, "test")
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "start", model=build_model(config.model), config=config, text=tiny_text, meta={})
    start, data = load_checkpoint(tmp_path / "start"), read_adapt_data(lines)
    before = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    used = adapted_config(config, data, replace(QUICK, epochs=1), source=start.path, folder=tmp_path / "work")
    network, _ = train_head(start, data, used, tmp_path / "work")
    start.model.load_state_dict(network.state_dict())  # its names are those of a network without caches
    changed = {name.split(".")[0] for name, x in start.model.state_dict().items() if not torch.equal(x, before[name])}
    assert {"chooser", "candidate_encoder", "choice_guide", "mask_decoder"} <= changed
    assert not {"detector", "backbone"} & changed


def test_the_same_seed_gives_the_same_weights(lines, tiny_checkpoint, tmp_path):
    data, weights = read_adapt_data(lines), []
    for number, seed in enumerate((0, 0, 1)):
        start, folder = load_checkpoint(tiny_checkpoint), tmp_path / str(number)
        config = adapted_config(
            start.config, data, replace(QUICK, epochs=2, seed=seed), source=start.path, folder=folder
        )
        network, steps = train_head(start, data, config, folder)
        assert steps == 4  # 18 expressions in batches of 8, twice
        weights.append(network.state_dict())
    first, again, other = weights
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_table_and_json_agree(adapted):
    out, report = adapted
    stored, table = json.loads((out / "adapt.json").read_text()), str(report).splitlines()
    assert (stored["kept"], stored["trained"]["images"], stored["held_out"]["sentences"]) == (True, 6, 6)
    for name, values in stored["scores"].items():
        [line] = [line for line in table if line.startswith(name)]
        before, after, gain = map(float, line[len(name) :].split())
        assert (before, after) == pytest.approx((100 * values["before"], 100 * values["after"]), abs=0.005)
        assert gain == pytest.approx(100 * (values["after"] - values["before"]), abs=0.005)
    assert stored["scores"]["mIoU"]["after"] == stored["after"]["scores"]["miou"]
    assert stored["scores"]["Pr@0.5"]["before"] == stored["before"]["scores"]["precision"]["0.5"]
    assert stored["peak_memory_bytes"] > 1e8
    assert table[-1] == "Only 6 expressions are held out: these scores are uncertain."


def test_empty_masks_are_in_the_table_where_nothing_is_there(adapted, tmp_path):
    rows = [*make_rows(6), *({"image": f"{i}.png", "expression": "a dog", "absent": True} for i in range(6))]
    path = write_lines(tmp_path, rows)
    report = adapt(path, tmp_path / "out", checkpoint=adapted[0], recipe=ONCE, device="cpu")
    assert set(report.scores()) == {"mIoU", "Pr@0.5", "nothing there, empty mask"}
    assert report.scores()["nothing there, empty mask"][0] == report.before.presence.n_acc


def test_nothing_that_got_worse_is_written(adapted, lines, tmp_path):
    report = adapt(lines, tmp_path / "out", checkpoint=adapted[0], recipe=DESTRUCTIVE, device="cpu")
    assert not report.is_kept
    assert report.after.scores.miou < report.before.scores.miou
    assert entries(tmp_path) == ["out"]
    assert entries(tmp_path / "out") == ["adapt.json"]
    assert json.loads((tmp_path / "out" / "adapt.json").read_text())["kept"] is False
    assert "no checkpoint was written; add expressions about more images (there are 18 of 6 to train on)" in (
        report.advice()
    )


def test_a_packed_start_with_a_refiner_gives_the_same_kind(lines, tiny_checkpoint, tmp_path):
    save_file(PromptableSegmenter().state_dict(), tmp_path / "refiner.safetensors")
    start, out = tmp_path / "start", tmp_path / "out"
    # Its outlines would take most of the time.
    pack_checkpoint(
        tiny_checkpoint,
        start,
        refiner=tmp_path / "refiner.safetensors",
        licences=["mine"],
        assignments=["inference.refine=false"],
    )
    report = adapt(lines, out, checkpoint=start, recipe=replace(QUICK, epochs=10), device="cpu")
    assert report.is_kept
    assert entries(out) == ["adapt.json", *entries(start)]
    before, after = load_checkpoint(start), load_checkpoint(out)
    assert after.meta["packed"]
    assert after.meta["licences"] == ["mine"]
    assert after.meta["reports"] == [json.loads(json.dumps(report.after.to_dict()))]
    for name, tensor in before.refiner.segmenter.network.state_dict().items():
        torch.testing.assert_close(after.refiner.segmenter.network.state_dict()[name], tensor, rtol=1e-5, atol=1e-7)
    data = read_adapt_data(lines)
    config = adapted_config(after.config, data, QUICK, source=out, folder=out)
    assert evaluate_held_out(after, data, config, out, progress=False).scores.miou == pytest.approx(
        report.after.scores.miou, abs=1e-4
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(lines, tiny_checkpoint, tmp_path, monkeypatch, number):
    usual, sent = Learner.update, []

    def update(self):
        usual(self)
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Learner, "update", update)
    with pytest.raises(TrainingError, match=r"Stopped as requested at epoch 1, step 2 of .*; nothing was written"):
        adapt(lines, tmp_path / "out", checkpoint=tiny_checkpoint, recipe=QUICK, device="cpu")
    assert entries(tmp_path) == []


def test_a_divergence_leaves_nothing(lines, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "is_sound", lambda *_: False)
    with pytest.raises(DivergedError, match=r"nothing was written; check the outlines, or take a lower --lr"):
        adapt(lines, tmp_path / "out", checkpoint=tiny_checkpoint, recipe=QUICK, device="cpu")
    assert entries(tmp_path) == []


def test_a_failure_while_writing_leaves_nothing(lines, tiny_checkpoint, tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("the disk is full")

    monkeypatch.setattr("vlt.adapt.run.move", fail)
    with pytest.raises(DataError, match="the disk is full"):
        adapt(lines, tmp_path / "out", checkpoint=tiny_checkpoint, recipe=ONCE, device="cpu")
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- recipe


@pytest.mark.parametrize(("images", "batch_size", "epochs"), [(4, 6, 30), (20, 8, 30), (200, 8, 4), (2000, 8, 1)])
def test_small_data_are_seen_more_often(tiny_config, tmp_path, images, batch_size, epochs):
    referral = read_adapt_data(write_lines(tmp_path, make_rows(5))).train[0]
    data = replace(read_adapt_data(tmp_path / "boxes.jsonl"), train=[referral] * (images * 2 * 4 // 5))
    config = adapted_config(tiny_config, data, Recipe(), source=tmp_path, folder=tmp_path)
    assert (config.train.batch_size, config.train.epochs) == (batch_size, epochs)
    assert config.train.schedule.warmup_steps < epochs * (len(data.train) // batch_size)
    assert config.train.lr == pytest.approx(tiny_config.train.lr * Recipe().lr_share)


# ---------------------------------------------------------------- folder


def test_targets_that_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, sentence in {"file": "is a file", "full": "exists and is not empty"}.items():
        with pytest.raises(ConfigError, match=sentence):
            refuse_target(tmp_path / name)
    refuse_target(tmp_path / "empty")
    refuse_target(tmp_path / "none")
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ConfigError, match="cannot be replaced as a whole; name a folder inside it"):
        refuse_target(tmp_path / "empty")


def test_one_process_at_a_time_and_the_rest_of_a_killed_one_is_removed(tmp_path):
    out = tmp_path / "out"
    (tmp_path / ".out.adapt" / "features").mkdir(parents=True)  # of a killed process
    with workspace(out) as work:
        assert entries(work) == ["lock"]
        with pytest.raises(ConfigError, match="Another `vlt adapt` is writing"), workspace(out):
            pass
        assert work.is_dir()
    assert entries(tmp_path) == []


def test_what_was_put_there_meanwhile_is_not_replaced(tmp_path):
    (tmp_path / "result").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(DataError, match="out cannot be written"):
        move(tmp_path / "result", tmp_path / "out")
    assert entries(tmp_path / "out") == ["mine"]
