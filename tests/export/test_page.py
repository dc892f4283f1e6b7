"""The page of `vlt export --web` in headless Chromium: the masks that Python predicts, and what a visitor sees.

`pytest -s -m slow tests/export/test_page.py` prints how long the page takes for each photo and expression.
"""

import base64
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import vlt
from vlt.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = {
    "astronaut.jpg": ["the woman", "flag on the left", "a dog"],
    "coffee.jpg": ["cup", "the spoon", "brown table"],
    "shapes.png": ["black square", "star on the left", "circle"],
}
CHANGES = {
    "whole": lambda photo: photo,
    "flipped": ImageOps.mirror,
    "upper part": lambda photo: photo.crop((0, 0, photo.width, photo.height * 5 // 8)),
    "small": lambda photo: photo.resize((photo.width * 2 // 5, photo.height * 2 // 5)),
}
PATIENCE = 300
"""Seconds to wait for the page; one thread of WebAssembly on a busy machine is slow."""
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
READ_ANSWER = """
const {width, height, mask, score, box} = window.lastAnswer;
let text = "";
for (const each of mask) text += String.fromCharCode(each);
return [width, height, btoa(text), score, box];
"""


class Isolated(SimpleHTTPRequestHandler):
    """Serves files with the headers that allow threads, and prints nothing."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "page"
    result = CliRunner().invoke(main, ["export", "--web", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def serve(folder):
    """Serve a folder; returns the server, whose address is `http://localhost:PORT/`."""
    server = ThreadingHTTPServer(("localhost", 0), partial(Isolated, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def chromium():
    """A browser; Debian's packages chromium and chromium-driver."""
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("there is no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def visitor(page, chromium):
    """A browser in which the page has loaded its model."""
    server = serve(page)
    chromium.get(f"http://localhost:{server.server_port}/")
    wait_for(chromium, lambda text: text.startswith("Ready"))
    yield chromium
    server.shutdown()
    server.server_close()


def status(browser):
    return browser.find_element(By.ID, "status").text


def wait_for(browser, holds):
    """Wait until the page says what `holds` accepts, or reports an error."""

    def is_there(_):
        shown = browser.find_element(By.ID, "status")
        return holds(shown.text) or "error" in shown.get_attribute("class")

    WebDriverWait(browser, PATIENCE, poll_frequency=0.2).until(is_there)
    assert holds(status(browser)), status(browser)


def refuses_to_load(browser, folder, message, *, script=""):
    """Open a page in a tab of its own, after a script; it must say what `message` matches, and find nothing."""
    server = serve(folder)
    browser.switch_to.new_window("tab")
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    browser.get(f"http://localhost:{server.server_port}/")
    with pytest.raises(AssertionError, match=message):
        wait_for(browser, lambda text: text.startswith("Ready"))
    assert not browser.find_element(By.ID, "find").is_enabled()
    browser.close()
    browser.switch_to.window(browser.window_handles[0])
    server.shutdown()
    server.server_close()


def show(browser, photo):
    browser.find_element(By.ID, "file").send_keys(str(photo))
    wait_for(browser, lambda text: text.startswith("Photo encoded"))
    print(photo.name, status(browser))


def ask(browser, text):
    """Mask (H, W) bool, score and box that the page finds for an expression."""
    field = browser.find_element(By.ID, "expression")
    field.clear()
    field.send_keys(text + "\n")
    wait_for(browser, lambda said: said.startswith("Answered"))
    print(text, status(browser))
    width, height, mask, score, box = browser.execute_script(READ_ANSWER)
    return np.frombuffer(base64.b64decode(mask), np.uint8).reshape(height, width) > 0, score, box


def compare(browser, photo, questions):
    """The IoU of the page's masks with Python's for each expression about a photo; scores must agree."""
    predictor = vlt.load(device="cpu", engine="onnx", fast=True, correct_spelling=False)
    show(browser, photo)
    overlaps = []
    for expected in predictor.predict(photo, questions):
        mask, score, box = ask(browser, expected.expression)
        assert mask.shape == expected.mask.shape
        assert score == pytest.approx(expected.score, abs=0.02)
        assert (box is None) == (expected.box is None)
        union = (mask | expected.mask).sum()
        overlaps.append((mask & expected.mask).sum() / union if union else 1.0)
    return overlaps


def test_the_page_finds_what_python_finds(visitor):
    assert min(compare(visitor, EXAMPLES / "coffee.jpg", QUESTIONS["coffee.jpg"])) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_on_twelve_photos(visitor, name, change, tmp_path):
    """The examples, flipped, cut to another aspect ratio, and small."""
    with Image.open(EXAMPLES / name) as photo:
        CHANGES[change](photo.convert("RGB")).save(tmp_path / "photo.png")
    assert min(compare(visitor, tmp_path / "photo.png", QUESTIONS[name])) >= 0.98


def test_a_visitor_is_told_what_is_wrong(visitor, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no picture")
    visitor.find_element(By.ID, "file").send_keys(str(broken))
    with pytest.raises(AssertionError, match=r"This browser cannot decode broken\.png; save it as JPEG or PNG"):
        wait_for(visitor, lambda text: text.startswith("Photo encoded"))


def test_a_browser_without_simd_is_told_so(page, chromium):
    """WebAssembly.validate of Chromium is replaced by one that knows no SIMD."""
    message = r"This browser has no WebAssembly SIMD; use a current Firefox, Chrome"
    refuses_to_load(chromium, page, message, script="WebAssembly.validate = () => false;")


def test_the_last_photo_chosen_is_the_one_that_is_answered_about(visitor, tmp_path):
    """A photo that is replaced while it is encoded leaves nothing behind."""
    with Image.open(EXAMPLES / "astronaut.jpg") as photo:
        photo.resize((240, 240)).save(tmp_path / "first.png")
        photo.resize((200, 240)).save(tmp_path / "second.png")
    visitor.find_element(By.ID, "file").send_keys(str(tmp_path / "first.png"))
    visitor.find_element(By.ID, "file").send_keys(str(tmp_path / "second.png"))
    wait_for(visitor, lambda text: text.startswith("Photo encoded"))
    mask, _, _ = ask(visitor, "the woman")
    assert mask.shape == (240, 200)
    assert mask.any()


def test_files_that_lack_or_differ_are_named(page, chromium, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(page, copied)
    (copied / "model" / "outline.onnx").write_bytes(b"short")
    refuses_to_load(chromium, copied, r"cannot be loaded: The file model/outline\.onnx is incomplete \(5 of")


def test_an_export_needs_a_free_folder_and_a_network_that_the_page_runs(tiny_checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused = CliRunner().invoke(main, ["export", "--web", str(tmp_path)])
    assert refused.exit_code == 1
    assert "exists and holds something else; name a folder that does not exist yet." in refused.stderr
    refused = CliRunner().invoke(main, ["export", "--web", str(tmp_path / "notes.txt")])
    assert refused.exit_code == 1
    assert "exists and holds something else" in refused.stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"
    refused = CliRunner().invoke(main, ["export", str(tiny_checkpoint), "--web", str(tmp_path / "page")])
    assert refused.exit_code == 2
    assert "has no graphs, which the page runs; `vlt export CHECKPOINT OUT` makes them." in refused.stderr
    for arguments in ([], ["one"], ["one", "two", "--web", "three"]):
        assert CliRunner().invoke(main, ["export", *arguments]).exit_code == 2
