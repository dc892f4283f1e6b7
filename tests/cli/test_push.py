"""`vlt push`, and checkpoints named hf://OWNER/NAME, against a local stand-in of the hub."""

import json
import shutil
import sys

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hub_fixture import StandIn, use_hub
from predictor_fixture import make_predictor, noise_image

import vlt
from vlt.checkpoint import find_checkpoint
from vlt.cli import main
from vlt.errors import CheckpointError
from vlt.visualize import save_picture


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = StandIn()
    use_hub(monkeypatch, server.url, tmp_path / "cache")
    yield server
    server.stop()


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def push(*arguments):
    result = run("push", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def sentence(result):
    """The one line on stderr of a command that failed and printed nothing."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("error: ").rstrip("\n")


# ---------------------------------------------------------------- upload


def test_a_checkpoint_is_uploaded_in_one_commit_with_its_card(hub, tiny_checkpoint):
    assert push(tiny_checkpoint, "me/zebras", "--message", "first") == f"{hub.url}/me/zebras\n"
    repository = hub.repositories["me/zebras"]
    assert (repository.messages[1:], repository.private) == (["first"], False)
    expected = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    card = repository.files["README.md"].decode()
    assert {name: each for name, each in repository.files.items() if name not in (".gitattributes", "README.md")} == (
        expected
    )
    assert 'vlt.load("hf://me/zebras")' in card
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "vlt"
    assert "README.md" not in {path.name for path in tiny_checkpoint.iterdir()}


def test_only_files_of_a_checkpoint_are_uploaded_and_stale_ones_replaced(hub, tiny_checkpoint, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "LICENSES").mkdir()
    for name in ("secret.txt", "NOTICE", "LICENSES/MIT.txt"):
        (folder / name).write_text(name)
    push(folder, "hf://me/zebras", "--private")
    repository = hub.repositories["me/zebras"]
    assert {"NOTICE", "LICENSES/MIT.txt"} <= repository.files.keys()
    assert "secret.txt" not in repository.files
    assert repository.private
    assert repository.messages[1] == f"Checkpoint, uploaded by vlt {vlt.__version__}"
    repository.files.update({"image.onnx": b"of other weights", "notes.txt": b"of the owner"})
    push(folder, "me/zebras")
    assert "image.onnx" not in repository.files
    assert repository.files["notes.txt"] == b"of the owner"
    assert "See also LICENSES, NOTICE beside this card." in repository.files["README.md"].decode()


def test_what_cannot_be_uploaded_is_refused_before_anything_is_written(hub, tiny_checkpoint, tmp_path, monkeypatch):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_checkpoint, damaged)
    (damaged / "weights.safetensors").write_bytes(b"")
    assert "is damaged or was changed" in sentence(run("push", damaged, "me/zebras"))
    assert sentence(run("push", tmp_path / "none", "me/zebras")).startswith("There is no checkpoint")
    for name in ("zebras", "me/", "me/a/b", "https://hub/me/a", "me/-a"):
        assert f"{name!r} does not name a model of the hub" in sentence(run("push", tiny_checkpoint, name))
    assert "names a revision, but an upload makes a new one" in sentence(run("push", tiny_checkpoint, "me/zebras@v1"))
    monkeypatch.delenv("HF_TOKEN")
    assert sentence(run("push", tiny_checkpoint, "me/zebras")) == (
        "Uploading to hf://me/zebras needs a token of the hub, and none is stored; `hf auth login` stores one, or set "
        "HF_TOKEN."
    )
    assert hub.requests == []


def test_refusals_of_the_hub_are_one_sentence_each(hub, tiny_checkpoint, monkeypatch):
    assert sentence(run("push", tiny_checkpoint, "you/zebras")) == (
        "The hub refuses the token for hf://you/zebras (HTTP 403); store one that may write to it with "
        "`hf auth login`, or set HF_TOKEN."
    )
    push(tiny_checkpoint, "me/other")
    hub.repositories["me/other"].commits.append({"config.json": b"{}", "README.md": b""})
    hub.repositories["me/other"].messages.append("another model")
    text = sentence(run("push", tiny_checkpoint, "me/other"))
    assert text == f"{hub.url}/me/other exists and is no checkpoint of vlt; choose another name, or delete it there."
    assert len(hub.repositories["me/other"].commits) == 3
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "The hub refuses the token for hf://me/zebras (HTTP 401)" in sentence(
        run("push", tiny_checkpoint, "me/zebras")
    )
    assert hub.repositories.keys() == {"me/other"}


# ---------------------------------------------------------------- download


@pytest.fixture
def shared(hub, tiny_checkpoint):
    """The hub with a checkpoint under me/zebras, beside a file that is none of its own."""
    push(tiny_checkpoint, "me/zebras")
    hub.repositories["me/zebras"].files["training.log"] = b"x"
    hub.requests.clear()
    return hub


def test_a_shared_checkpoint_predicts_the_same(shared, tiny_checkpoint):
    image = noise_image(3)
    expected = vlt.load(tiny_checkpoint, "cpu").predict(image, "red circle", warn=False)[0]
    found = vlt.load("hf://me/zebras", "cpu").predict(image, "red circle", warn=False)[0]
    np.testing.assert_array_equal(found.probability(), expected.probability())
    names = sorted(path.name for path in tiny_checkpoint.iterdir())
    assert shared.downloaded() == names


def test_a_second_load_fetches_nothing_and_needs_no_hub(shared, monkeypatch, tmp_path):
    folder = find_checkpoint("hf://me/zebras")
    shared.requests.clear()
    assert find_checkpoint("hf://me/zebras") == folder
    assert shared.downloaded() == []
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    assert find_checkpoint("hf://me/zebras") == folder


def test_a_revision_is_a_commit_a_tag_or_a_branch(shared, tiny_checkpoint, tmp_path):
    repository = shared.repositories["me/zebras"]
    repository.tags["v1"] = 1
    changed = tmp_path / "changed"
    shutil.copytree(tiny_checkpoint, changed)
    meta = json.loads((changed / "meta.json").read_text())
    (changed / "meta.json").write_text(json.dumps({**meta, "epoch": 7}))
    push(changed, "me/zebras")
    for revision, epoch in (("", 7), ("@main", 7), ("@v1", None), (f"@{repository.commit_id(1)}", None)):
        found = json.loads((find_checkpoint(f"hf://me/zebras{revision}") / "meta.json").read_text())
        assert found.get("epoch") == epoch


def test_commands_take_names_of_the_hub(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_picture(noise_image(3), tmp_path / "a.png")
    result = run("predict", "a.png", "red circle", "--checkpoint", "hf://me/zebras", "--json", "--as-written")
    assert result.exit_code == 0, result.stderr
    assert "network     vlt: darknet53, gru, 4 queries" in run("info", "hf://me/zebras@main").stdout
    assert run("pack", "hf://me/zebras", "packed").exit_code == 0
    assert run("info", "packed").exit_code == 0


def test_a_report_names_the_commit_and_is_not_written_into_the_cache(shared, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_config.model_dump(mode="json")))
    result = run("test", "tiny.yaml", "--checkpoint", "hf://me/zebras")
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "me--zebras.val.json").read_text())
    commit = shared.repositories["me/zebras"].commit_id(1)
    assert report["provenance"]["checkpoint"] == f"hf://me/zebras@{commit}"
    assert list((tmp_path / "cache").rglob("*val.json")) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hf://me/none", "There is no model hf://me/none, or it is private; check the name, and for a private one"),
        ("hf://me/zebras@v9", "hf://me/zebras@v9 has no revision 'v9'; name a branch, a tag or a commit"),
        ("hf://zebras", "'hf://zebras' does not name a model of the hub; write hf://OWNER/NAME"),
        ("hf://me/bert", "hf://me/bert is no checkpoint of vlt: it has no meta.json; name a model that `vlt push`"),
        ("hf://me/gated", "hf://me/gated is only for those whom its owner let in; ask for access on its page."),
        ("hf://me/a--b", "The hub allows no model with the name hf://me/a--b (Cannot have -- or .. in repo_id: "),
    ],
)
def test_what_cannot_be_downloaded_is_one_sentence(shared, name, text):
    bert = shared.repositories["me/bert"] = type(shared.repositories["me/zebras"])()
    bert.files["config.json"] = b"{}"
    shared.repositories["me/gated"] = type(bert)(gated=True)
    assert sentence(run("info", name)).startswith(text)
    assert shared.downloaded() == []


def test_a_hub_that_cannot_be_reached_is_one_sentence(shared, tiny_checkpoint, tmp_path, monkeypatch):
    shared.fails_at = "GET"
    assert sentence(run("info", "hf://me/zebras")).startswith("hf://me/zebras could not be downloaded (")
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "empty")
    for arguments, done in (
        (["info", "hf://me/zebras"], "downloaded"),
        (["push", tiny_checkpoint, "me/a"], "uploaded"),
    ):
        text = sentence(run(*arguments))
        assert f"could not be {done} (" in text
        assert "refused" in text
        assert text.endswith("); check the connection to the hub, and try again.")


def test_without_huggingface_hub_the_line_to_type_is_named(tiny_checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    need = "needs huggingface_hub, which is not installed; `pip install huggingface_hub` adds it."
    assert sentence(run("info", "hf://me/zebras")) == f"hf://me/zebras {need}"
    assert sentence(run("push", tiny_checkpoint, "me/zebras")) == f"Uploading to hf://me/zebras {need}"


def test_a_url_of_the_hub_is_no_path_of_other_arguments(tmp_path):
    result = run("push", "https://example.org/a", "me/zebras")
    assert (result.exit_code, "is a URL, which is not supported" in result.stderr) == (2, True)


# ---------------------------------------------------------------- methods of the predictor


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of huggingface_hub, for large files
def test_a_predictor_is_saved_loaded_and_pushed_as_in_other_libraries(hub, tiny_checkpoint, tmp_path):
    predictor = vlt.Predictor.from_pretrained(tiny_checkpoint, device="cpu").with_settings(threshold=0.3)
    predictor.save_pretrained(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    assert f'vlt.load("{"path/to/this/folder"}")' in files.pop("README.md").decode()
    assert files == {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    assert predictor.push_to_hub("me/zebras", private=True, commit_message="pushed") == f"{hub.url}/me/zebras"
    assert (hub.repositories["me/zebras"].private, hub.repositories["me/zebras"].messages[1]) == (True, "pushed")
    for name in (str(tmp_path / "saved"), "me/zebras", "hf://me/zebras@main"):
        assert vlt.Predictor.from_pretrained(name, device="cpu").settings.threshold == 0.5
    assert vlt.Predictor.from_pretrained("me/zebras", revision="main", device="cpu").checkpoint.name


def test_what_predictors_refuse(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="was not loaded from a checkpoint"):
        make_predictor().save_pretrained(tmp_path / "a")
    predictor = vlt.load(tiny_checkpoint, "cpu")
    with pytest.raises(CheckpointError, match="is a checkpoint and would be replaced"):
        predictor.save_pretrained(tiny_checkpoint)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="exists and is no checkpoint; name a folder that does not exist yet"):
        predictor.save_pretrained(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["a.txt"]
    with pytest.raises(CheckpointError, match="is neither a folder that exists nor the name OWNER/NAME"):
        vlt.Predictor.from_pretrained("zebras")
    with pytest.raises(CheckpointError, match="is a local folder, which has no revision 'v1'"):
        vlt.Predictor.from_pretrained(tiny_checkpoint, revision="v1")
