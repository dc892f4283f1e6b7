"""Names of models and data sets on the Hugging Face hub, and its errors; huggingface_hub is imported on first use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from vlt.errors import CheckpointError, DataError, VLTError, reason

if TYPE_CHECKING:
    from types import ModuleType

Kind: TypeAlias = Literal["model", "data set"]
"""A kind of repository of the hub."""

HUB_SCHEME = "hf://"
"""Beginning of a name on the Hugging Face hub; a path without it is never sent anywhere."""
DATA_SETS = "datasets/"
"""Beginning of the name of a data set behind `HUB_SCHEME`; names without it are models."""
LONGEST_REASON = 160
"""Largest number of characters quoted from the message of a library."""
FORM = re.compile(
    rf"({HUB_SCHEME})?(?P<data>{DATA_SETS})?(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[^\s@]+))?",
    re.ASCII,
)
"""Form of a name."""


class HubName(NamedTuple):
    """The name of a model or of a data set on the hub.

    Attributes:
        repo: OWNER/NAME.
        revision: a branch, a tag or a commit; None: the newest on the main branch.
        kind: of the repository.
    """

    repo: str
    revision: str | None = None
    kind: Kind = "model"

    def __str__(self) -> str:
        """The name with its scheme, as it is given on the command line."""
        folder = "" if self.kind == "model" else DATA_SETS
        return f"{HUB_SCHEME}{folder}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def error(self) -> type[VLTError]:
        """The class of errors about such a name."""
        return CheckpointError if self.kind == "model" else DataError


def parse_hub_name(text: str, kind: Kind = "model") -> HubName:
    """Read a name such as "hf://OWNER/NAME@REVISION", or "hf://datasets/OWNER/NAME@REVISION" of a data set.

    The scheme and the revision may be left out.

    Raises:
        CheckpointError: it does not name a model, where `kind` is that.
        DataError: it does not name a data set, where `kind` is that.
    """
    match = FORM.fullmatch(text)
    if match is None or bool(match["data"]) != (kind == "data set"):
        form = HubName("OWNER/NAME", None, kind)
        raise form.error(
            f"{text!r} does not name a {kind} of the hub; write {form}, and behind it @REVISION for a branch, a tag or "
            "a commit."
        )
    return HubName(match["repo"], match["revision"], kind)


def import_hub(what: str, error: type[VLTError] = CheckpointError) -> ModuleType:
    """Import huggingface_hub.

    Args:
        what: what needs it, for the error.
        error: class of the error.

    Raises:
        VLTError: it is not installed; of the class `error`.
    """
    try:
        import huggingface_hub  # noqa: PLC0415 (only the hub needs it, and the plain installation may lack it)
    except ImportError:
        raise error(
            f"{what} needs huggingface_hub, which is not installed; `pip install huggingface_hub` adds it."
        ) from None
    return huggingface_hub


@contextmanager
def hub_errors(name: HubName, done: str) -> Iterator[None]:
    """Turn every error of calls of huggingface_hub into one sentence.

    Args:
        name: the model or data set, for the sentence.
        done: "downloaded" or "uploaded".

    Raises:
        VLTError: a call failed; of the class `name.error`.
    """
    from huggingface_hub import errors  # noqa: PLC0415 (as in import_hub)

    try:
        yield
    except errors.GatedRepoError as error:
        raise name.error(f"{name} is only for those whom its owner let in; ask for access on its page.") from error
    except errors.RepositoryNotFoundError as error:
        raise name.error(
            f"There is no {name.kind} {name}, or it is private; check the name, and for a private one store a token "
            "with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise name.error(
            f"{name} has no revision {name.revision!r}; name a branch, a tag or a commit, or leave it out."
        ) from error
    except errors.HFValidationError as error:
        raise name.error(f"The hub allows no {name.kind} with the name {name} ({reason(error)}).") from error
    except errors.OfflineModeIsEnabled as error:
        raise name.error(
            f"{name} cannot be {done}, since HF_HUB_OFFLINE is set; unset it, or name a folder on this machine."
        ) from error
    except Exception as error:  # of several libraries: connections, timeouts, a full disk, a refusal
        cause = error.__cause__ or error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status in (401, 403):
            may = "write to" if done == "uploaded" else "read"
            raise name.error(
                f"The hub refuses the token for {name} (HTTP {status}); store one that may {may} it with "
                "`hf auth login`, or set HF_TOKEN."
            ) from error
        first = reason(cause).split(". ")[0][:LONGEST_REASON]  # advice of the library follows
        raise name.error(
            f"{name} could not be {done} ({first}); check the connection to the hub, and try again."
        ) from error
