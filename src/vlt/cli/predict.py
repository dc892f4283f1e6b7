"""`vlt predict`: images and expressions to masks."""

from __future__ import annotations

import glob
import json
import os
import re
import string
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from vlt.cli.shell import (
    CHECKPOINT,
    PATH,
    Command,
    device_option,
    engine_option,
    examples,
    refine_option,
    set_threads,
    threads_option,
    writable_picture,
)
from vlt.errors import InputError, VLTError

if TYPE_CHECKING:
    from vlt.config.section import PrecisionName
    from vlt.infer.instance import Instance
    from vlt.infer.loading import EngineName
    from vlt.infer.prediction import Prediction
    from vlt.types import Image

STDIN = "-"


class Job(NamedTuple):
    """One image with the files that are written for it.

    Attributes:
        source: path of the image, or `STDIN`.
        overlay: file of the overlay; None: none.
        masks: file of the mask of each expression, or with --instances the name to which the instance's number is
            added (`numbered`); empty: none.
        cutouts: file of the cutout of each expression, likewise; empty: none.
    """

    source: str
    overlay: Path | None
    masks: list[Path]
    cutouts: list[Path]


@click.command(
    cls=Command,
    epilog=examples(
        'vlt predict photo.jpg "the dog on the left" "the ball"',
        'vlt predict photo.jpg "the ball" --mask ball.png --cutout ball-cutout.png --json',
        'vlt predict photo.jpg "all dogs" --instances --mask dog.png',
        'vlt predict --expression "the dog" --expression "the ball" photos/*.jpg',
    ),
)
@click.argument("arguments", metavar="IMAGE EXPRESSION...", nargs=-1, required=True)
@click.option(
    "-e",
    "--expression",
    "expressions",
    multiple=True,
    help="Predict this expression on several images: all arguments are then images. May be repeated.",
)
@click.option(
    "--checkpoint",
    type=CHECKPOINT,
    help="A run of `vlt train`, a checkpoint, or hf://OWNER/NAME.  [default: the package's own]",
)
@click.option(
    "--output", type=PATH, help="Overlay with a legend; a folder for several images.  [default: ./NAME-vlt.png]"
)
@click.option("--mask", type=PATH, help="Mask as a grey PNG or WebP, 255 inside; numbered for several expressions.")
@click.option(
    "--cutout", type=PATH, help="Image inside the mask, transparent outside (PNG or WebP); numbered likewise."
)
@click.option(
    "--instances",
    is_flag=True,
    help="Each object by itself: a line, colour, mask (dog-1.png, dog-2.png; with several expressions dog-1-1.png) and "
    "cutout. Objects may overlap; files of an earlier run stay.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; an overlay is then written only with --output.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Probability above which a pixel belongs to the mask.  [default: the checkpoint's]",
)
@click.option("--fast", is_flag=True, help="About half of the time per image, and somewhat less accurate.")
@click.option(
    "--precision",
    type=click.Choice(["no", "bf16", "fp16"]),
    help="Of PyTorch: bf16 is about twice as fast on CPUs with AMX; fp16 needs a GPU.  [default: the checkpoint's]",
)
@click.option("--as-written", is_flag=True, help="Read misspelled words as written, without correcting them.")
@refine_option
@engine_option
@device_option
@threads_option
def predict(
    arguments: tuple[str, ...],
    expressions: tuple[str, ...],
    checkpoint: Path | str | None,
    output: Path | None,
    mask: Path | None,
    cutout: Path | None,
    instances: bool,
    as_json: bool,
    threshold: float | None,
    fast: bool,
    precision: PrecisionName | None,
    as_written: bool,
    refine: bool,
    engine: EngineName | None,
    device: str | None,
    threads: int | None,
) -> None:
    """Segment what each EXPRESSION refers to in IMAGE; `-` reads the image from standard input.

    Prints a line per expression and writes an overlay with a colour for each. Several images are given after
    --expression; patterns such as "photos/*.jpg" are expanded.
    """
    sources, texts = split_arguments(arguments, expressions)
    jobs = plan_files(sources, texts, output, mask, cutout, default_overlay=not as_json, instances=instances)
    from vlt.data.image import read_image

    first = None
    if len(jobs) == 1:  # a single image that cannot be used is refused before the network is loaded
        first = read_image(sys.stdin.buffer.read() if sources[0] == STDIN else sources[0])
    print_notes(texts, correct=not as_written)
    set_threads(threads)
    from vlt.infer.checks import check_threshold
    from vlt.infer.loading import load

    if threshold is not None:
        check_threshold(threshold)  # click lets NaN pass
    predictor = load(
        checkpoint,
        device,
        engine=engine,
        refine=refine,
        fast=fast,
        precision=precision,
        correct_spelling=not as_written,
        threads=threads,
    )
    printed, done = [], 0
    for job in jobs:
        try:
            image = read_image(job.source) if first is None else first
            predictions = predictor.predict(image, texts, threshold=threshold, warn=done == 0, instances=instances)
            write_files(job, image, predictions)
        except VLTError as error:
            if len(jobs) == 1:
                raise
            click.echo(f"error: {error}", err=True)
            continue
        done += 1
        if as_json:
            found = [prediction.to_dict() for prediction in predictions]
            printed += [{"image": job.source, **one} for one in found] if len(jobs) > 1 else found
        else:
            print_lines(job, predictions, several=len(jobs) > 1)
        if job.overlay:
            click.echo(f"overlay: {job.overlay}", err=as_json)
    if as_json:
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        click.echo(json.dumps(printed, ensure_ascii=not is_utf8))
    if done < len(jobs):
        raise InputError(
            f"{len(jobs) - done} of {len(jobs)} images could not be used, for the reasons above; the rest is done."
        )


def split_arguments(arguments: tuple[str, ...], expressions: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Separate images from expressions, and check the expressions before anything slow is imported.

    Args:
        arguments: from the command line: an image and expressions; or, if `expressions` are given, only images and
            patterns of their names.
        expressions: values of --expression.

    Returns:
        Images, each once, and expressions; at least one of both.

    Raises:
        click.UsageError: no expression.
        InputError: a blank expression; an existing file among the expressions; a pattern that no file matches; standard
            input beside other images.
    """
    from vlt.config.section import as_url
    from vlt.text.words import split_words

    if expressions:
        sources, texts = [], list(expressions)
        for argument in arguments:
            is_name = os.path.exists(argument) or as_url(argument)
            is_pattern = any(sign in argument for sign in "*?[") and not is_name
            matches = sorted(glob.glob(argument, recursive=True)) if is_pattern else [argument]
            if not matches:
                raise InputError(f"No file matches {argument!r}; check the pattern.")
            sources += matches
        sources = list(dict.fromkeys(sources))
        if STDIN in sources and len(sources) > 1:
            raise InputError("Standard input (-) holds one image; give it alone.")
    else:
        sources, texts = [arguments[0]], list(arguments[1:])
        if not texts:
            raise click.UsageError(f'No expression was given; say what to find: vlt predict {arguments[0]} "dog".')
    for number, text in enumerate(texts, 1):
        split_words(text, f"Expression {number} of {len(texts)}")
        if os.path.isfile(text):
            raise InputError(
                f"The expression {text!r} is the name of a file; several images are given as: "
                'vlt predict --expression "the dog" IMAGE IMAGE.'
            )
    return sources, texts


def plan_files(
    sources: list[str],
    texts: list[str],
    output: Path | None,
    mask: Path | None,
    cutout: Path | None,
    *,
    default_overlay: bool,
    instances: bool = False,
) -> list[Job]:
    """Decide which files are written for each image, and check that they can be.

    With `instances`, masks and cutouts are numbered by instance, as many as are found.

    Raises:
        InputError: a file that would overwrite an image or another result; a mask or cutout as JPEG.
        click.BadParameter: a file that cannot be written, or whose name does not end in that of a format.
    """
    for option, path in (("--output", output), ("--mask", mask), ("--cutout", cutout)):
        if path and len(sources) > 1 and not path.is_dir():
            raise InputError(f"{option} {path} is not a folder, but there are {len(sources)} images; make it first.")
    jobs = []
    numbers = range(1, len(texts) + 1) if len(texts) > 1 else range(1)
    for source in sources:
        overlay = result_file(output or Path(), source, "-vlt", 0) if output or default_overlay else None
        masks = [result_file(mask, source, "-mask", number) for number in numbers] if mask else []
        cutouts = [result_file(cutout, source, "-cutout", number) for number in numbers] if cutout else []
        jobs.append(Job(source, overlay, masks, cutouts))
    # A file may have several names (relative, links, letter case), but only one pair of device and inode.
    images = {(stat.st_dev, stat.st_ino) for stat in map(os.stat, filter(os.path.exists, sources))}
    written: set[Path] = set()
    for job in jobs:
        for path in [*([job.overlay] if job.overlay else []), *job.masks, *job.cutouts]:
            writable_picture(path)
            if path != job.overlay and path.suffix.lower() in (".jpg", ".jpeg"):
                raise InputError(f"{path}: JPEG blurs masks and has no transparency; end the name in .png or .webp.")
            if path.exists() and (path.stat().st_dev, path.stat().st_ino) in images:
                raise InputError(f"{path} is an image to predict on and would be overwritten; choose another file.")
            if path.resolve() in written:
                raise InputError(f"{path} would be written twice; choose other files or folders for the results.")
            written.add(path.resolve())
    if instances:
        check_numbered(jobs, images)
    return jobs


def check_numbered(jobs: list[Job], images: set[tuple[int, int]]) -> None:
    """Check that no file of an instance would overwrite an image or an overlay, however many instances there are.

    Args:
        jobs: images with the files that are written for them.
        images: device and inode of each image to predict on.

    Raises:
        InputError: one would.
    """
    bases = {path.resolve(): path for job in jobs for path in (*job.masks, *job.cutouts)}
    there = [path for folder in {base.parent for base in bases} if folder.is_dir() for path in folder.iterdir()]
    kept = [path for path in there if path.exists() and (path.stat().st_dev, path.stat().st_ino) in images]
    for path in [*kept, *(job.overlay for job in jobs if job.overlay)]:
        number = re.fullmatch(r"(.+)-\d+", path.stem)
        if number and (base := bases.get(path.parent.resolve() / f"{number[1]}{path.suffix}")):
            raise InputError(
                f"{path.name} would be overwritten by an instance of {base}; choose another name for that."
            )


def result_file(option: Path, source: str, tail: str, number: int) -> Path:
    """Make the path of a result: the option itself, or in the folder that it names a file called after the image.

    Args:
        option: as given, a file or an existing folder.
        source: the image.
        tail: added to the image's name.
        number: number of the expression, added to the name of the file; 0: there is only one.
    """
    stem = "stdin" if source == STDIN else Path(source).stem
    return numbered(option / f"{stem}{tail}.png" if option.is_dir() else option, number)


def numbered(path: Path, number: int) -> Path:
    """Add a number to the name of a file; 0 adds none."""
    return path.with_stem(f"{path.stem}-{number}") if number else path


def found_in(prediction: Prediction) -> list[tuple[int, Prediction | Instance]]:
    """List the instances of a prediction with their numbers, from 1; or the prediction with 0, where it has none."""
    return list(enumerate(prediction.instances, 1)) if prediction.instances else [(0, prediction)]


def write_files(job: Job, image: Image, predictions: list[Prediction]) -> None:
    """Write the overlay, masks and cutouts of an image; with instances the files of each have its number.

    With instances, an expression for which nothing was found has neither mask nor cutout.
    """
    from vlt.visualize import overlay_with_legend, save_picture

    if job.overlay:
        shown = [(prediction, number, one) for prediction in predictions for number, one in found_in(prediction)]
        legend = [(describe(prediction, number), one.mask) for prediction, number, one in shown]
        save_picture(overlay_with_legend(image, legend), job.overlay)
    for paths, is_cutout in ((job.masks, False), (job.cutouts, True)):
        for path, prediction in zip(paths, predictions, strict=False):
            for number, one in found_in(prediction) if prediction.instances != () else []:
                save_picture(one.cutout() if is_cutout else one.mask, numbered(path, number))


def print_notes(texts: list[str], *, correct: bool) -> None:
    """Print the corrections of misspelled words, and suggestions for words that may be misspelled, on stderr."""
    from vlt.text.language import is_foreign
    from vlt.text.spelling import SpellingWarning, correct_spelling, suggest_spelling

    corrections: dict[str, str] = {}
    for text in texts:
        corrections |= correct_spelling(text)[1] if correct else {}
    for word, correction in corrections.items():
        click.echo(f"note: read {word!r} as {correction!r}", err=True)
    warnings.simplefilter("ignore", SpellingWarning)  # they would repeat the notes
    words = (word.strip(string.punctuation) for text in texts if not is_foreign(text) for word in text.split())
    for word in dict.fromkeys(word for word in words if word not in corrections):
        if suggestion := suggest_spelling(word):
            click.echo(f"note: {word!r} is not a common word; did you mean {suggestion!r}?", err=True)


def print_lines(job: Job, predictions: list[Prediction], *, several: bool) -> None:
    """Print a line per expression or instance: the colour in the overlay, score, box and share of the image."""
    from vlt.visualize import palette_colour

    shown = [(prediction, number, one) for prediction in predictions for number, one in found_in(prediction)]
    for index, (prediction, number, one) in enumerate(shown):
        colour, _ = palette_colour(index)
        start = f"{job.source}: " if several else ""
        if not prediction.matches:
            found = f"nothing matches (presence {prediction.presence:.2f})"
        elif one.box is None:
            found = f"nothing found above threshold {prediction.threshold:g}"
        else:
            box = ",".join(f"{side:.0f}" for side in one.box)
            found = f"box {box}  {100 * one.mask.mean():.1f} % of the image"
        click.echo(f"{start}{colour:<6}  score {one.score:.2f}  {found}: {title(prediction, number)}")


def title(prediction: Prediction, number: int) -> str:
    """Make the name of a prediction or an instance: the expression, and the number of an instance."""
    return f"{prediction.expression} #{number}" if number else prediction.expression


def describe(prediction: Prediction, number: int = 0) -> str:
    """Make the text of a prediction, or of its instance of this number, for the legend."""
    one = prediction.instances[number - 1] if number and prediction.instances else prediction
    found = "nothing found" if one.box is None else f"{one.score:.2f}"
    return f"{title(prediction, number)} ({found if prediction.matches else 'nothing matches'})"
