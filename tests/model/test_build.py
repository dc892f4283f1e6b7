"""Pretrained parts are read, recorded in the configuration, and can be rebuilt without them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file, save_file

from vlt.config import (
    BertConfig,
    Darknet53Config,
    Dinov2Config,
    GRUConfig,
    SwinConfig,
    VLTConfig,
    WordsConfig,
    read_config,
)
from vlt.config.model import CandidatesConfig
from vlt.errors import CheckpointError, ConfigError, VLTWarning
from vlt.files import resolve_source
from vlt.model.build import BACKBONES, LANGUAGES, build_candidates, build_model, load_detector
from vlt.model.detector import Detector
from vlt.model.pretrained import read_architecture, resolve_architecture

SMALL = {"dim": 32, "heads": 4, "feedforward_dim": 32, "mask_dim": 16, "num_queries": 2}
TINY_DINOV2 = Dinov2Config(architecture={"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2})
TINY_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}
DARKNET = Darknet53Config(width=0.0625, blocks=(1, 1, 1, 1, 1))
GRU = GRUConfig(words=WordsConfig(dim=12), hidden_dim=16)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    torch.manual_seed(3)
    networks: dict[str, Any] = {
        "dinov2": transformers.Dinov2Model(
            transformers.Dinov2Config(
                hidden_size=32, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=70
            )
        ),
        "swin": transformers.SwinModel(
            transformers.SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4)
        ),
        "bert": transformers.BertModel(
            transformers.BertConfig(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=50
            )
        ),
    }
    for name, network in networks.items():
        network.save_pretrained(tmp_path / name)
    return {name: str(tmp_path / name) for name in networks}


def _config(folders: dict[str, str], backbone: str) -> VLTConfig:
    choices = {"dinov2": Dinov2Config(pretrained=folders["dinov2"]), "swin": SwinConfig(pretrained=folders["swin"])}
    size = (70, 56) if backbone == "dinov2" else (64, 32)
    return VLTConfig(
        image_size=size, backbone=choices[backbone], language=BertConfig(pretrained=folders["bert"]), **SMALL
    )


@pytest.mark.parametrize("backbone", ["dinov2", "swin"])
def test_pretrained_weights_arrive_and_can_be_rebuilt_without_the_folder(
    folders: dict[str, str], backbone: str
) -> None:
    config = resolve_architecture(_config(folders, backbone))
    model = build_model(config)
    source = transformers.AutoModel.from_pretrained(folders[backbone]).state_dict()
    ours = {
        name.removeprefix("network.").removeprefix("swin."): value
        for name, value in model.backbone.state_dict().items()
    }
    shared = [name for name in source if name in ours]
    assert len(shared) > 20
    assert all(torch.equal(source[name], ours[name]) for name in shared)
    elsewhere = config.model_copy(
        update={
            "backbone": config.backbone.model_copy(update={"pretrained": "gone"}),
            "language": config.language.model_copy(update={"pretrained": "gone"}),
        }
    )
    rebuilt = build_model(elsewhere, pretrained=False)
    rebuilt.load_state_dict(model.state_dict(), strict=True)
    images, words = torch.rand(1, 3, *config.image_size), torch.randint(1, 50, (1, 4))
    with torch.no_grad():
        torch.testing.assert_close(rebuilt.eval()(images, words), model.eval()(images, words))


def test_keys_that_shape_nothing_stay_out_of_the_architecture(folders: dict[str, str]) -> None:
    path = Path(folders["bert"]) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"gradient_checkpointing": False, "made_by": "someone"}))
    config = resolve_architecture(_config(folders, "dinov2"))
    assert isinstance(config.language, BertConfig)
    assert not {"gradient_checkpointing", "made_by"} & set(config.language.architecture or {})
    build_model(config, pretrained=False)


def test_damaged_weights_of_a_folder_are_refused_in_one_sentence(folders: dict[str, str]) -> None:
    (Path(folders["swin"]) / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=rf"^The pretrained part '{folders['swin']}' cannot be loaded \(.*header"):
        build_model(_config(folders, "swin"))


@pytest.mark.parametrize("name", ["parts/dinov2-small", "minilm", "./parts/x", "/no/where"])
def test_a_missing_folder_is_never_looked_up_on_a_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name like parts/dinov2-small has the form OWNER/NAME of a hub, where a stranger could own it."""
    for factory in ("AutoConfig", "AutoModel", "SwinBackbone", "Dinov2Backbone"):
        monkeypatch.setattr(f"transformers.{factory}.from_pretrained", None)
    for part in ({"backbone": SwinConfig(pretrained=name)}, {"language": BertConfig(pretrained=name)}):
        config = VLTConfig(**({"image_size": (64, 64), "backbone": DARKNET, "language": GRU} | SMALL | part))
        with pytest.raises(CheckpointError, match=rf"There is no folder {name}; tools/README\.md .* hf:OWNER/NAME\.$"):
            build_model(config)


def test_a_name_of_the_hub_is_marked(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str) -> Any:
        asked.append(name)
        return transformers.BertConfig(hidden_size=48)

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", download)
    assert read_architecture("hf:sentence-transformers/minilm")["hidden_size"] == 48
    assert asked == ["sentence-transformers/minilm"]
    assert resolve_source(folders["bert"]) == folders["bert"]
    assert resolve_source("~") == str(Path.home())


def test_frozen_random_weights_are_warned_of(tmp_path: Path) -> None:
    """A flat YAML of the original freezes most of the backbone, whether it names `pretrained_weights` or not."""
    path = tmp_path / "original.yaml"
    paths = {"train_set": "data/anns/refcoco/train.json", "image_path": "data/images", "log_path": "runs/x"}
    path.write_text(yaml.safe_dump(paths))
    remedy = r"model\.backbone trains its last 2 blocks only .*pretrained_weights.*free_body: 0"
    small = ["input_size: 64", "rnn_hidden_size: 8", "num_query: 1", "embed_dim: 4"]
    path.write_text("\n".join([path.read_text(), *small]))
    with torch.device("meta"):
        with pytest.warns(VLTWarning, match=remedy):
            build_model(read_config(path).model)
        build_model(read_config(path, ["model.backbone.pretrained=darknet53.h5"]).model)
        build_model(read_config(path, ["model.backbone.trainable_blocks=null"]).model)
        build_model(read_config(path).model, pretrained=False)
    bert = BertConfig(tokenizer="unused", architecture=TINY_BERT, trainable_blocks=1)
    with pytest.warns(VLTWarning, match=r"model\.language trains its last 1 blocks only"):
        build_model(VLTConfig(image_size=(64, 64), backbone=DARKNET, language=bert, **SMALL))


def test_a_file_that_lacks_weights_is_refused(folders: dict[str, str]) -> None:
    path = Path(folders["dinov2"]) / "model.safetensors"
    weights = load_file(path)
    del weights["layernorm.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights: layernorm\.weight"):
        build_model(_config(folders, "dinov2"))


def test_an_impossible_architecture_is_refused() -> None:
    language = BertConfig(tokenizer="unused", architecture={"hidden_size": 30, "num_attention_heads": 4})
    with pytest.raises(ConfigError, match="cannot be built"):
        build_model(VLTConfig(image_size=(56, 56), backbone=TINY_DINOV2, language=language, **SMALL))


def test_a_misspelt_architecture_key_is_refused() -> None:
    backbone = Dinov2Config(architecture={"hiden_size": 32})
    with pytest.raises(ConfigError, match=r"'hiden_size'.*did you mean 'hidden_size'"):
        build_model(VLTConfig(image_size=(56, 56), backbone=backbone, language=GRU, **SMALL))


def test_dinov2_depths_end_at_the_last_layer() -> None:
    backbone = Dinov2Config(
        layers=(3,), architecture={"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    )
    with pytest.raises(ConfigError, match="the last must be"):
        build_model(VLTConfig(image_size=(56, 56), backbone=backbone, language=GRU, **SMALL))


def test_every_configured_name_has_a_builder() -> None:
    assert set(BACKBONES) == {"darknet53", "swin", "dinov2"}
    assert set(LANGUAGES) == {"gru", "bert"}


def test_published_sizes_build_on_the_meta_device() -> None:
    millions = {("dinov2", "small"): 22, ("dinov2", "base"): 87, ("swin", "tiny"): 28, ("swin", "base"): 87}
    for (name, size), expected in millions.items():
        config = Dinov2Config(size=size) if name == "dinov2" else SwinConfig(size=size)
        with torch.device("meta"):
            backbone = BACKBONES[name](config, False)
        count = sum(p.numel() for p in backbone.parameters()) / 1e6
        assert count == pytest.approx(expected, rel=0.04), (name, size)


def test_a_detector_is_read_from_its_folder(tmp_path: Path) -> None:
    source = Detector(width=0.0625)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    config = CandidatesConfig(dim=16, heads=2, count=3, grid=2, detector_width=0.0625, detector=tmp_path)
    sizes = {"channels": 12, "text_dim": 6, "dim": 8}
    loaded, random = (build_candidates(config, **sizes, pretrained=pretrained).detector for pretrained in (True, False))
    assert loaded.count == 3
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in source.state_dict().items())
    assert not torch.equal(random.stem.conv.weight, source.stem.conv.weight)


def test_a_detector_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    detector, path = Detector(width=0.0625), tmp_path / "weights.safetensors"
    with pytest.raises(
        CheckpointError, match=r"^The detector .* does not exist; tools/README\.md says how to make it\.$"
    ):
        load_detector(detector, tmp_path)
    path.write_bytes(b"no weights")
    damaged = r"^The detector .* cannot be loaded \([^)]+\); make it again \(tools/README\.md\)\.$"
    with pytest.raises(CheckpointError, match=damaged):
        load_detector(detector, tmp_path)
    save_file(detector.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])  # a copy that was cut off
    with pytest.raises(CheckpointError, match=damaged):
        load_detector(detector, tmp_path)


@pytest.mark.parametrize("misfit", ["wider", "lacking", "unrelated"])
def test_a_detector_of_another_shape_is_refused(misfit: str, tmp_path: Path) -> None:
    weights = Detector(width=0.125 if misfit == "wider" else 0.0625).state_dict()
    if misfit == "lacking":
        del weights["stem.conv.bias"]
    save_file({"x": torch.zeros(1)} if misfit == "unrelated" else weights, tmp_path / "weights.safetensors")
    named = "size mismatch for stem.conv.weight" if misfit == "wider" else "stem.conv.bias"
    sentence = (
        rf"^The detector .* does not fit the network \(.*{named}.*\); set model\.candidates\.detector_width .*\.$"
    )
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        load_detector(Detector(width=0.0625), tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("switch", ["categories", "standing", "colours", "cells", "relations", "num_queries"])
def test_every_switch_of_candidates_takes_parameters_away(switch: str) -> None:
    config = CandidatesConfig(dim=16, heads=2, grid=2, detector_width=0.0625)
    less = config.model_copy(update={switch: 0 if switch == "num_queries" else False})
    full, without = (
        {
            f"{part}.{name}"
            for part in ("encoder", "chooser")
            for name in getattr(
                build_candidates(each, channels=12, text_dim=6, dim=8, pretrained=False), part
            ).state_dict()
        }
        for each in (config, less)
    )
    assert without < full
