"""Checks of pretrained parts: each is loaded on its own, its licence is told, and what saw COCO's photos is noted."""

import pytest
import torch
import transformers
from safetensors.torch import save_file

from vlt.checkpoint import save_checkpoint
from vlt.doctor.parts import stated_origin
from vlt.model.build import build_model
from vlt.model.detector import Detector
from vlt.text.reader import build_text

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "the", "left", "half"]
COCO = "The detector was trained on COCO train2017, which contains RefCOCO's photos, those that are tested on included."
CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}


@pytest.fixture
def parts(tmp_path):
    """Folders with a small backbone, a small language encoder with its tokenizer, and a small detector."""
    torch.manual_seed(0)
    swin = transformers.SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.SwinModel(swin).save_pretrained(tmp_path / "swin")
    transformers.BertModel(transformers.BertConfig(**sizes, vocab_size=50)).save_pretrained(tmp_path / "bert")
    vocabulary = {piece: number for number, piece in enumerate(PIECES)}
    transformers.BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(tmp_path / "bert")
    (tmp_path / "nano").mkdir()
    save_file(Detector(width=0.0625, count=4).state_dict(), tmp_path / "nano" / "weights.safetensors")
    return tmp_path


@pytest.fixture
def pretrained(configure, prepared, parts):
    """Makes a configuration that names all these parts."""

    def make(**train):
        model = configure().model.model_dump(mode="json")
        model["backbone"] = {"name": "swin", "pretrained": str(parts / "swin")}
        model["language"] = {"name": "bert", "pretrained": str(parts / "bert")}
        model["candidates"] = {**CANDIDATES, "detector": str(parts / "nano")}
        return configure(data=prepared, model=model, loss={"candidate": 1.0}, train=train)

    return make


def test_parts_that_can_be_loaded_are_no_faults_and_the_detectors_data_are_noted(
    pretrained, examined, found, results, parts
):
    code, diagnosis = examined(pretrained())
    assert code == 0, diagnosis["findings"]
    assert [finding["sentence"] for finding in found(diagnosis, severity="note", subject="parts COCO")] == [COCO]
    lines = results(diagnosis)["parts"].splitlines()
    assert lines == [
        f"backbone {parts / 'swin'}: can be loaded, licence not stated",
        f"language {parts / 'bert'}: can be loaded, licence not stated",
        f"tokenizer {parts / 'bert'}: can be loaded, licence not stated",
        f"detector {parts / 'nano'}: can be loaded, licence not stated",
    ]
    assert any(check["name"] == "memory" for check in diagnosis["checks"])


def test_each_part_that_cannot_be_loaded_is_found(pretrained, examined, found, parts):
    (parts / "swin" / "model.safetensors").write_bytes(b"damaged")
    (parts / "bert" / "config.json").unlink()
    (parts / "bert" / "tokenizer.json").write_text("{")
    (parts / "nano" / "weights.safetensors").unlink()
    code, diagnosis = examined(pretrained())
    assert code == 1
    sentences = {
        "parts backbone": f"The pretrained part '{parts / 'swin'}' cannot be loaded",
        "parts language": f"The pretrained part '{parts / 'bert'}' cannot be loaded",
        "parts tokenizer": f"The tokenizer {parts / 'bert'} cannot be loaded",
        "parts detector": f"The detector {parts / 'nano' / 'weights.safetensors'} does not exist.",
    }
    assert {finding["subject"] for finding in found(diagnosis, severity="error")} == set(sentences)
    for subject, sentence in sentences.items():
        [finding] = found(diagnosis, subject=subject)
        assert sentence in finding["sentence"]
        assert finding["remedy"]


def test_a_backbone_from_keras_that_is_missing_is_found_and_its_labels_noted(configure, examined, found, tmp_path):
    model = configure().model.model_dump(mode="json")
    model["backbone"]["pretrained"] = str(tmp_path / "darknet53.h5")
    code, diagnosis = examined(configure(model=model), "--quick")
    [error] = found(diagnosis, severity="error")
    assert (code, error["subject"]) == (1, "parts backbone")
    assert str(tmp_path / "darknet53.h5") in error["sentence"]
    [note] = found(diagnosis, severity="note")
    assert note["sentence"].startswith("The backbone was trained with COCO's labels")


# ---------------------------------------------------------------- a checkpoint to start from


def test_a_start_replaces_the_parts_and_tells_its_own_data_and_licences(pretrained, examined, found, results, parts):
    config = pretrained()
    model = build_model(config.model)
    meta = {"licences": ["DINOv2: Apache-2.0", "these weights: MIT"]}
    save_checkpoint(parts / "start", model=model, config=config, text=build_text(config.model, ()), meta=meta)
    for name in ("swin", "nano"):
        for path in (parts / name).iterdir():
            path.unlink()
        (parts / name).rmdir()
    code, diagnosis = examined(pretrained(start_from=str(parts / "start")))
    assert code == 0, diagnosis["findings"]
    origin = 'trained on data set "mine", split train; licence DINOv2: Apache-2.0; these weights: MIT'
    assert results(diagnosis)["parts"] == f"start_from {parts / 'start'}: can be loaded, {origin}"
    assert [finding["sentence"] for finding in found(diagnosis, subject="parts COCO")] == [COCO]


def test_a_start_that_is_missing_or_of_other_parts_is_found(configure, examined, tiny_checkpoint, tmp_path):
    code, diagnosis = examined(configure(train={"start_from": str(tmp_path / "gone")}), "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["subject"]) == (1, "parts start_from")
    assert finding["sentence"] == f"There is no checkpoint {tmp_path / 'gone'}."

    model = {**configure().model.model_dump(mode="json"), "backbone": {"name": "swin"}}
    code, diagnosis = examined(configure(model=model, train={"start_from": str(tiny_checkpoint)}), "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["subject"]) == (1, "parts")
    assert "has model.backbone.name 'darknet53', but this run 'swin'" in finding["sentence"]

    model = {**configure().model.model_dump(mode="json"), "num_queries": 5}
    code, diagnosis = examined(configure(model=model, train={"start_from": str(tiny_checkpoint)}))
    [finding] = diagnosis["findings"]
    assert (code, finding["subject"]) == (1, "step")
    assert "do not fit the network of this run's configuration" in finding["sentence"]


def test_a_start_that_is_missing_does_not_hide_a_detector_that_is(pretrained, examined, found, parts):
    (parts / "nano" / "weights.safetensors").unlink()
    _, diagnosis = examined(pretrained(start_from=str(parts / "gone")), "--quick")
    errors = found(diagnosis, severity="error")
    assert [finding["subject"] for finding in errors] == ["parts start_from", "parts detector"]


# ---------------------------------------------------------------- licences


@pytest.mark.parametrize(
    ("files", "origin"),
    [
        ({}, "licence not stated"),
        (
            {"README.md": "---\nlicense: mit\ndatasets:\n- coco\n- lvis\n---\n# A model"},
            "licence mit, trained on coco, lvis",
        ),
        ({"README.md": "# A model\nlicense: none of YAML"}, "licence not stated"),
        ({"README.md": "---\nlicense: [\n---\n"}, "licence not stated"),
        ({"LICENSE": "\n   Apache License\n   Version 2.0\n"}, "licence Apache License"),
        ({"LICENSE": "MIT", "README.md": "---\nlicense: apache-2.0\n---\n"}, "licence apache-2.0"),
    ],
)
def test_a_folder_states_its_licence(tmp_path, files, origin):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert stated_origin(str(tmp_path)) == origin
    assert stated_origin(f"hf:{tmp_path.name}/gone") == "licence not stated"
