"""Setup of a run: its folder, the accelerator, the checkpoint it starts from, and the network."""

from __future__ import annotations

import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.tracking import get_available_trackers
from accelerate.utils import parse_flag_from_env
from filelock import FileLock, Timeout

from vlt.checkpoint.directory import REFINER, is_checkpoint, read_pointer
from vlt.checkpoint.read import Checkpoint, load_checkpoint, load_weights
from vlt.config.model import BertConfig, Darknet53Config, ReferenceConfig, VLTConfig
from vlt.config.run import Config, TrainConfig
from vlt.errors import CheckpointError, ConfigError, VLTWarning
from vlt.legacy.weights import load_keras_backbone
from vlt.model.backbone import Darknet53
from vlt.model.build import build_model, load_detector
from vlt.model.language import BertEncoder
from vlt.model.precision import check_precision
from vlt.model.pretrained import resolve_architecture
from vlt.model.vlt import VLT
from vlt.text.reader import TextReader, TokenReader, build_text
from vlt.train.data import views_per_referral
from vlt.train.feature_cache import CachedBackbone, CachedDetector, CachedLanguage, ImageKeys

ModelT = TypeVar("ModelT", bound=ReferenceConfig | VLTConfig)

CANDIDATE_PARTS = ("candidate_encoder", "chooser")
"""Parts that train with `train.only: candidates`, and do not with `train.only: masks`."""
NEW_PARTS = (*CANDIDATE_PARTS, "detector", "choice_guide")
"""Parts of a network with candidates that one without does not have."""
SHIPPED = Path("default")
"""Value of `train.start_from` that names the model in the package."""
RUN_ENTRIES = ("config.yaml", "history.jsonl", "log", "resume", "wandb")
"""Names of what a run writes before its first checkpoint."""
SHARDED = {
    "ACCELERATE_USE_FSDP": "--use_fsdp",
    "ACCELERATE_USE_DEEPSPEED": "--use_deepspeed",
    "ACCELERATE_USE_MEGATRON_LM": "--use_megatron_lm",
}
"""Environment variables by which `accelerate launch` requests that processes share the weights, and their options."""


class RunFolder:
    """The folder of a run, owned by one process from `__enter__` to `__exit__`, or until that process ends.

    A run that fails before `keep` is called leaves nothing behind that was not there before.

    Args:
        path: path of the folder; it and its parents are created.
        is_main: whether this is the main process; others neither own nor write anything.
    """

    def __init__(self, path: Path, *, is_main: bool) -> None:
        self.path = path
        self.is_main = is_main
        self.made: list[Path] = []
        self.is_kept = not is_main
        self.lock = FileLock(path / "resume" / "lock", timeout=0)

    def __enter__(self) -> RunFolder:
        """Make and lock the folder.

        Raises:
            ConfigError: it cannot be made or written to, belongs to another run that is in progress, is a checkpoint,
                or holds checkpoints of a run that cannot be continued.
        """
        if is_checkpoint(self.path):
            raise ConfigError(
                f"output_dir {self.path} is a checkpoint, which cannot be continued; name the folder of a run, or "
                "continue from its weights with train.start_from."
            )
        if not self.is_main:
            return self
        parents = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        entries = [self.path / name for name in RUN_ENTRIES if not (self.path / name).exists()]
        try:
            (self.path / "resume").mkdir(parents=True, exist_ok=True)
            self.lock.acquire()
        except Timeout:
            raise ConfigError(
                f"Another run is in progress in output_dir {self.path}; wait for its end, or name another folder."
            ) from None
        except NotImplementedError:  # a file system without locks
            message = f"The file system of {self.path} has no locks; make sure that no other run uses this folder."
            warnings.warn(VLTWarning(message), stacklevel=2)
        except OSError as error:
            self.made = entries + parents
            self.discard()
            raise ConfigError(
                f"output_dir {self.path} cannot be made or written to ({error.strerror}); name another."
            ) from error
        self.made = entries + parents
        if read_pointer(self.path, "last") and not (self.path / "resume" / "state.pt").exists():
            self.__exit__(None, None, None)
            raise ConfigError(
                f"output_dir {self.path} holds checkpoints but nothing in {self.path / 'resume'} to continue from; "
                "name another, or move the checkpoints away."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_kept:
            self.discard()
        self.lock.release()

    def keep(self) -> None:
        """Keep the folder even if the run fails from now on."""
        self.is_kept = True

    def discard(self) -> None:
        """Remove the files that this run made, and its folders if they are then empty."""
        for path in self.made:
            is_entry = path.parent == self.path and path.name in RUN_ENTRIES
            with suppress(OSError):  # it does not exist, or holds other files
                if is_entry and path.is_dir():
                    shutil.rmtree(path)
                elif is_entry:
                    path.unlink()
                else:
                    path.rmdir()


def join_processes() -> PartialState:
    """Join the processes that a launcher such as torchrun started; without one, this process is alone."""
    # Without a GPU, processes only find each other if the CPU is requested.
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())


def start_accelerator(config: Config) -> Accelerator:
    """Create the `Accelerator` for the device, processes, precision and accumulation of a run.

    Args:
        config: configuration of the run.

    Raises:
        ConfigError: the device does not have the precision; processes and passes cannot share the batch; the weights
            are to be divided among processes; a tracker is not installed.
    """
    refuse_sharded_weights()
    train, views = config.train, views_per_referral(config)
    services = installed_services(train)
    state = join_processes()
    check_precision(train.precision, state.device, "train.precision")
    if train.batch_size % views:
        below = train.batch_size // views * views
        raise ConfigError(
            f"train.batch_size is {train.batch_size}, not a multiple of {views}, the samples per referral for "
            f"loss.contrast; take {f'{below} or {below + views}' if below else views}."
        )
    least, needed = views, "samples per referral for loss.contrast"
    if views == 1 and isinstance(config.model, ReferenceConfig):
        least, needed = 2, "samples for batch normalisation"
    parts = state.num_processes * train.accumulate * least
    if train.batch_size < parts:
        raise ConfigError(
            f"train.batch_size is {train.batch_size}, too few for {state.num_processes} processes x train.accumulate "
            f"{train.accumulate}{f' x {least} {needed}' if least > 1 else ''}; take at least {parts}, or use fewer "
            "processes."
        )
    if state.device.type == "cuda":  # cuDNN's attention would prepare itself anew, for a second, for each batch shape
        torch.backends.cuda.enable_cudnn_sdp(False)
    AcceleratorState._reset_state()  # global state, which would refuse another precision in the next run
    return Accelerator(
        mixed_precision=train.precision, gradient_accumulation_steps=train.accumulate, log_with=services or None
    )


def refuse_sharded_weights() -> None:
    """Refuse a launch that divides the weights among processes.

    Raises:
        ConfigError: there is one.
    """
    for variable, option in SHARDED.items():
        if parse_flag_from_env(variable):
            raise ConfigError(
                f"accelerate launch {option} divides the weights among processes, but resume state, moving average "
                "and validation need all of them in each; leave it out, there and in the file of `accelerate config`."
            )


def installed_services(config: TrainConfig) -> list[str]:
    """Return the `train.trackers` that are programs of their own, all but TensorBoard.

    Raises:
        ConfigError: one is not installed.
    """
    services: list[str] = [name for name in config.trackers if name != "tensorboard"]
    missing = sorted({*services} - {str(name) for name in get_available_trackers()})
    if missing:
        raise ConfigError(
            f"train.trackers has {' and '.join(missing)}, not installed here; "
            f"run `pip install {' '.join(missing)}`, or leave it out."
        )
    return services


def load_start(path: Path | None) -> Checkpoint | None:
    """Load the checkpoint that a run starts from.

    Warns if it has a refiner, since the run's own checkpoints have none.

    Args:
        path: a checkpoint or a run; `default`: the model in the package; None: the run starts from pretrained parts.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    if path is None:
        return None
    start = load_checkpoint(None if path == SHIPPED else path, refine=False)
    if (start.path / REFINER).exists():
        message = (
            f"train.start_from {path} has a refiner, but the checkpoints of this run will have none; add one to the "
            f"best of them with `vlt pack RUN OUT --refiner {start.path / REFINER}`."
        )
        warnings.warn(VLTWarning(message), stacklevel=2)
    return start


def resolve_model(config: ModelT, start: Checkpoint | None) -> ModelT:
    """Write the architecture of pretrained parts into a model configuration.

    Args:
        config: configuration of the run.
        start: checkpoint to start from, which gives the architecture, so that no pretrained part is needed; None: read
            it from the pretrained parts.

    Raises:
        CheckpointError: a pretrained part that is missing or cannot be read; a start of other parts.
    """
    if isinstance(config, ReferenceConfig) or start is None or not isinstance(start.config.model, VLTConfig):
        return resolve_architecture(config)
    values = config.model_dump()
    for name in ("backbone", "language"):
        part, other = getattr(config, name), getattr(start.config.model, name)
        if part.name != other.name:
            raise CheckpointError(
                f"train.start_from has model.{name}.name {other.name!r}, but this run {part.name!r}; "
                "set it to that of the checkpoint."
            )
        if getattr(part, "pretrained", None) and "architecture" in values[name] and part.architecture is None:
            values[name]["architecture"] = other.architecture
            if hasattr(part, "size"):
                values[name]["size"] = other.size
    return config.model_validate(values)


def start_text(config: Config, start: Checkpoint | None) -> TextReader | None:
    """Return the tokenizer of the checkpoint that a run starts from, if its weights depend on one.

    Args:
        config: configuration of the run.
        start: see `load_start`.

    Returns:
        The tokenizer, with this run's `model.max_words`; None: the reader is to be built, since word vectors mean the
        same to all weights.

    Raises:
        CheckpointError: the configuration names another tokenizer, which exists.
    """
    language = getattr(config.model, "language", None)
    if start is None or not isinstance(language, BertConfig) or not isinstance(start.text, TokenReader):
        return None
    if Path(str(language.tokenizer or language.pretrained)).is_dir():
        own = build_text(config.model, ())
        if own.fingerprint != start.text.fingerprint:
            raise CheckpointError(
                f"train.start_from {config.train.start_from} was trained with another tokenizer than this run's "
                f"(fingerprints {start.text.fingerprint[:12]} and {own.fingerprint[:12]}); name a checkpoint of the "
                "same one."
            )
        return own
    return TokenReader(start.text.tokenizer, start.text.settings, max_words=config.model.max_words)


def build_network(config: Config, start: Checkpoint | None = None) -> VLT:
    """Build the network with its pretrained parts, or with the weights of a checkpoint.

    Args:
        config: configuration of the run, its architecture resolved.
        start: checkpoint whose weights are loaded in place of pretrained parts; None: none.

    Raises:
        CheckpointError: pretrained parts that cannot be loaded, or weights that do not fit.
        ConfigError: a feature cache for a backbone that trains.
        DataError: a folder for the feature cache that cannot be made.
    """
    model = build_model(config.model, pretrained=start is None)
    backbone = config.model.backbone
    if start is not None:
        load_start_weights(model, start, config)
    elif isinstance(backbone, Darknet53Config) and backbone.pretrained is not None:
        load_keras_backbone(backbone.pretrained, cast(Darknet53, model.backbone))
    freeze_untrained(model, config.train.only)
    if config.train.map_cache is not None:
        # The cache depends on the architecture of the backbone, not on where its weights were stored.
        shape = resolve_model(config.model, start).backbone.model_dump_json(exclude={"pretrained", "trainable_blocks"})
        settings = f"{shape} at {config.model.input_size}, precision {config.train.precision}"
        keys, language = ImageKeys(), model.language
        model.backbone = CachedBackbone(model.backbone, config.train.map_cache, settings, keys)
        if model.detector is not None:
            size = f"at {config.model.input_size}"
            model.detector = CachedDetector(model.detector, config.train.map_cache, size, keys)
        if isinstance(language, BertEncoder) and not any(x.requires_grad for x in language.network.parameters()):
            model.language = CachedLanguage(language)
    return model


def freeze_untrained(model: VLT, only: Literal["candidates", "masks"] | None) -> None:
    """Freeze the parts of a network that `train.only` leaves out; None: none."""
    if only is not None:
        parts = {name for name, _ in model.named_children()}
        model.train_only(CANDIDATE_PARTS if only == "candidates" else parts - {*CANDIDATE_PARTS})


def load_start_weights(model: VLT, start: Checkpoint, config: Config) -> None:
    """Load the weights of the checkpoint that a run starts from.

    A network with candidates can start from one without: the parts that are new keep their own weights.

    Args:
        model: the network of the run; its new detector is loaded here.
        start: see `load_start`.
        config: configuration of the run.

    Raises:
        CheckpointError: weights that do not fit; a detector that cannot be loaded.
    """
    tensors = start.model.state_dict()
    own = config.model.candidates if isinstance(config.model, VLTConfig) else None
    if own is not None and model.detector is not None and start.model.detector is None:
        if own.detector is not None:
            load_detector(model.detector, own.detector)
        tensors |= {name: x for name, x in model.state_dict().items() if name.split(".")[0] in NEW_PARTS}
    load_weights(model, tensors, f"of train.start_from, {config.train.start_from},", "this run's configuration")
