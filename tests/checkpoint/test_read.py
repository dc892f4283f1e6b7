"""A checkpoint is read back as it was written, or refused with one sentence."""

import json
import shutil

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from vlt.checkpoint import load_checkpoint, usable_device
from vlt.cli import main
from vlt.errors import CheckpointError, ConfigError
from vlt.text.reader import build_text


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    """A checkpoint to be damaged."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")


def edit_meta(folder, **changes):
    path = folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, edit):
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"text_fingerprint": json.loads((folder / "meta.json").read_text())["text_fingerprint"]})


def refused(folder, sentence):
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_read(folder, tiny_model, tiny_config, tiny_text):
    loaded = load_checkpoint(str(folder))
    assert loaded.path == folder
    assert loaded.config == tiny_config
    assert loaded.meta["split"] == "val"
    assert loaded.text.fingerprint == tiny_text.fingerprint
    assert not any(module.training for module in loaded.model.modules())
    images, words = torch.rand(1, 3, 64, 64), torch.tensor(tiny_text("red circle").values[None])
    with torch.inference_mode():
        assert torch.equal(loaded.model(images, words), tiny_model(images, words))


def test_half_precision_weights_are_read_into_the_models_own(folder, tiny_model):
    edit_weights(
        folder,
        lambda tensors: tensors.update({key: t.half() if t.is_floating_point() else t for key, t in tensors.items()}),
    )
    edit_meta(folder, sha256={})
    loaded = load_checkpoint(folder).model.state_dict()
    for key, tensor in tiny_model.state_dict().items():
        assert loaded[key].dtype == tensor.dtype
        assert torch.allclose(loaded[key], tensor, rtol=1e-2, atol=1e-3)


def test_every_key_that_does_not_fit_is_listed(folder):
    def edit(tensors):
        keys = sorted(tensors)
        missing.extend(keys[:2])
        misshapen.append(keys[2])
        for key in missing:
            del tensors[key]
        tensors[keys[2]] = torch.zeros(7, 7)
        tensors["head.surplus"] = torch.zeros(1)

    missing, misshapen = [], []
    edit_weights(folder, edit)
    sentence = refused(folder, "do not fit the network of its config.yaml")
    assert (
        f"missing: {', '.join(missing)}; unexpected: head.surplus; wrong shape: {misshapen[0]} (7, 7) instead of ("
        in sentence
    )


def test_a_checkpoint_from_the_future(folder):
    edit_meta(folder, format=7)
    refused(folder, r"has checkpoint format 7, but vlt \S+ reads up to format 2; upgrade vlt\.$")


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '{"format": "one"}', "\x00"])
def test_broken_meta(folder, content):
    (folder / "meta.json").write_text(content)
    refused(folder, r"meta\.json (cannot be read|states no format number).*the checkpoint is damaged")


@pytest.mark.parametrize("content", [": :", "", "- 1", "model: {name: other}", "model: {dims: 3}"])
def test_broken_config(folder, content):
    (folder / "config.yaml").write_text(content)
    refused(folder, r"is damaged, or of a newer vlt: .*config\.yaml")


def test_missing_config(folder):
    (folder / "config.yaml").unlink()
    refused(folder, r"is damaged, since it lacks config\.yaml; copy the checkpoint again\.$")


@pytest.mark.parametrize("keep", [0, 4, 100, 20_000])
def test_truncated_weights(folder, keep):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, r"weights\.safetensors is missing or damaged \(.*\); copy the checkpoint again\.$")


def test_missing_weights(folder):
    (folder / "weights.safetensors").unlink()
    refused(folder, r"weights\.safetensors is missing or damaged \(.*\); copy the checkpoint again\.$")


def test_a_vocabulary_of_other_weights(folder, tiny_config, tiny_text):
    other = build_text(tiny_config.model, ["quite another vocabulary"])
    other.save(folder)
    edit_meta(folder, text_fingerprint=other.fingerprint)  # even if meta.json was copied along
    sentence = refused(folder, r"does not belong to its weights, trained with \w+; copy the whole directory")
    assert other.fingerprint[:12] in sentence
    assert tiny_text.fingerprint[:12] in sentence


def test_weights_of_somebody_else(folder):
    save_file({"weight": torch.zeros(1)}, folder / "weights.safetensors")
    refused(folder, r"does not belong to its weights, trained with None")


def test_a_missing_or_damaged_vocabulary(folder):
    (folder / "vocabulary.npz").write_bytes(b"PK\x03\x04")
    refused(folder, r"vocabulary\.npz")
    (folder / "vocabulary.npz").unlink()
    refused(folder, r"vocabulary\.npz")


def test_a_configuration_of_another_size_is_refused(folder):
    path = folder / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["model"]["dim"] = 64
    path.write_text(yaml.safe_dump(values))
    refused(folder, r"wrong shape: .*instead of")


def test_devices():
    assert usable_device("cpu") == torch.device("cpu")
    assert usable_device(None).type in ("cpu", "cuda")
    with pytest.raises(ConfigError, match=r"The device 'toaster' cannot be used here \(.*\); take 'cpu'"):
        usable_device("toaster")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there(folder):
    with pytest.raises(ConfigError, match=r"The device 'cuda' cannot be used here"):
        load_checkpoint(folder, "cuda")


# ---------------------------------------------------------------- weights that must not be used


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, value):
    def edit(tensors):
        for key in sorted(key for key, tensor in tensors.items() if tensor.is_floating_point())[:7]:
            tensors[key].view(-1)[0] = value
            named.append(key)

    named = []
    edit_weights(folder, edit)
    sentence = refused(folder, r"weights\.safetensors are not all finite \(.* and 2 more\).*take an earlier checkpoint")
    assert ", ".join(named[:5]) in sentence


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.npz"])
@pytest.mark.parametrize("place", [0.5, 0.9, 0.999])
def test_a_flipped_bit_is_noticed(folder, name, place):
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, rf"{name.replace('.', chr(92) + '.')}|vocabulary")
    result = CliRunner().invoke(main, ["info", str(folder)])
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_smallest_flip_in_a_weight_is_noticed(folder):
    """It would pass for a weight: only the hash knows."""
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-4] ^= 1  # the lowest bit of the last number
    (folder / "weights.safetensors").write_bytes(content)
    refused(folder, r"weights\.safetensors is damaged or was changed: its SHA-256 is \w{12}…, but meta\.json states")


def test_a_checkpoint_of_version_0_1_states_no_hashes(folder):
    meta = json.loads((folder / "meta.json").read_text())
    assert set(meta.pop("sha256")) == {"vocabulary.npz", "weights.safetensors"}
    (folder / "meta.json").write_text(json.dumps(meta))
    load_checkpoint(folder)


@pytest.mark.parametrize("hashes", [3, ["a"], None, "abc"])
def test_hashes_that_are_none(folder, hashes):
    edit_meta(folder, sha256=hashes)
    refused(folder, r"meta\.json states no SHA-256 by file")


def test_a_file_that_was_written_is_missing(folder):
    edit_meta(folder, sha256={"refiner.safetensors": "ab" * 32})
    refused(folder, r"is damaged, since it lacks refiner\.safetensors; copy the checkpoint again\.$")
    load_checkpoint(folder, refine=False)


def test_a_misfit_names_the_first_and_counts_the_others(folder):
    edit_weights(folder, dict.clear)
    sentence = refused(folder, r"do not fit the network of its config\.yaml \(missing: .* and \d+ more\)\.$")
    assert sentence.count(",") == 4


def test_keys_of_version_0_1_in_a_checkpoint_are_read_without_a_word(folder, recwarn):
    path = folder / "config.yaml"
    values = yaml.safe_load(path.read_text())
    del values["inference"]
    values["evaluate"] = {"threshold": 0.25, "batch_size": 5, "mirror": True, "half": None, "select_by": "oiou"}
    path.write_text(yaml.safe_dump(values))
    inference = load_checkpoint(folder).config.inference
    assert (inference.threshold, inference.batch_size, inference.flip) == (0.25, 5, True)
    assert not recwarn


@pytest.mark.parametrize("device", ["mps", "toaster", "x" * 5000, 3.5, [1]])
def test_what_is_said_of_a_device_is_short(device):
    with pytest.raises(ConfigError) as caught:
        usable_device(device)
    assert len(str(caught.value)) < 220 + len(str(device))
    assert str(caught.value).endswith("; take 'cpu'.")


@pytest.mark.parametrize("path", [3, b"run", 1.5, ["run"]])
def test_what_is_no_path(path):
    with pytest.raises(CheckpointError, match=r"^A checkpoint is named by its path, not by .*\.$"):
        load_checkpoint(path)


@pytest.mark.parametrize("device", ["meta", "privateuseone", [], 3])
def test_devices_that_cannot_compute(device):
    with pytest.raises(ConfigError, match=r"cannot be used here \(.*\); take 'cpu'\."):
        usable_device(device)


def test_a_url_is_no_checkpoint():
    with pytest.raises(CheckpointError, match=r"^https://example\.org/model is a URL, which is not supported"):
        load_checkpoint("https://example.org/model")


def test_missing_files_are_named_with_the_remedy(folder):
    named = [path.name for path in folder.iterdir() if path.name not in ("meta.json", "weights.safetensors")]
    assert len(named) > 1
    for name in named:
        (folder / name).rename(folder / "aside")
        with pytest.raises(CheckpointError, match=rf"lacks {name}; copy the checkpoint again\.$"):
            load_checkpoint(folder)
        (folder / "aside").rename(folder / name)


def test_a_byte_order_mark_in_meta_json_is_no_damage(folder):
    path = folder / "meta.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_checkpoint(folder).meta["format"]
