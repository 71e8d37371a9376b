"""Models on the Hugging Face hub: their names, their download, and the client's errors as text.

Only the two files of a model directory are downloaded. Neither holds code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dashseg.errors import InputError
from dashseg.run_directory import CONFIG, WEIGHTS

LOG_IN = "run `hf auth login`, or set HF_TOKEN to a token of huggingface.co/settings/tokens"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")


@dataclass(frozen=True)
class HubName:
    """ "owner/name" or "owner/name@revision": a branch, a tag or a commit; None: the main branch.

    Raises:
        InputError: not names that the hub has.
    """

    repository: str
    revision: str | None = None

    def __post_init__(self) -> None:
        name, revision = self.repository, self.revision
        if (
            not _REPOSITORY.fullmatch(name)
            or len(name) > 96
            or any(part in name for part in ("--", ".."))
            or name.endswith(".git")
        ):
            raise InputError(
                f"'{name}' is no repository of the hub: expected owner/name of letters, digits,"
                " '-', '_' and '.'"
            )
        if revision is not None and (
            not _REVISION.fullmatch(revision)
            or any(part in revision for part in ("..", "//", "/."))
            or revision.endswith(("/", ".", ".lock"))
        ):
            raise InputError(
                f"'{revision}' is no revision: expected a branch, a tag or a commit, such as v1"
            )

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read "owner/name[@revision]"."""
        repository, at, revision = text.partition("@")
        return cls(repository, revision if at else None)

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def download_model(text: str) -> Path:
    """The model directory of "owner/name[@revision]", in the hub's cache.

    Without network, what was downloaded earlier is used.

    Raises:
        InputError: not such a name, no such repository or revision, the hub cannot be reached, or
            the repository holds no model of dashseg.
    """
    from huggingface_hub import HfApi

    try:
        name = HubName.parse(text)
        folder = Path(
            HfApi().snapshot_download(
                name.repository, revision=name.revision, allow_patterns=[CONFIG, WEIGHTS]
            )
        )
    except Exception as error:  # what the client raises for an odd answer has no common base
        raise InputError(
            f"'{text}' is no folder here (if it is a run, check its name), and could not be"
            f" downloaded from the hub: {reason(error)}"
        ) from error
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise InputError(f"'{text}' on the hub is no model of dashseg: it has no {missing[0]}")
    return folder


def reason(error: Exception) -> str:
    """Why a call of the hub's client failed, and what to do, in one line."""
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, RepositoryNotFoundError) or status == 401:
        return f"no such repository, or it is not open to you; if it is private, {LOG_IN}"
    if status == 403:
        return f"your token does not permit this (403): {LOG_IN}, with write access for a push"
    unreached = (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError, TimeoutError)
    if isinstance(error, unreached) or type(error).__module__.startswith("httpx"):
        return f"the hub cannot be reached ({first})"
    return first
