"""Agents on the Hugging Face Hub: ``hf://user/repo`` and ``hf://user/repo@revision``, as every command takes them.

Only the files of a model's folder are downloaded, into the library's own cache; nothing among them is code or a pickle. Each is
compared to the hash that the Hub keeps it under, and each part of the agent to the hash in its ``config.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from worldmodels.agent.files import PARTS
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.versions import own_version
from worldmodels.runs.layout import CONFIG, TASK, WAY, WAY_RECORD
from worldmodels.runtime import progress

#: What a model's folder may hold, and all that is ever downloaded.
FILES = (CONFIG, TASK, "evaluation.json", "training.json", WAY, WAY_RECORD, *(f"{part}.safetensors" for part in PARTS))
#: A path makes one slash of two.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repo>[^/@\s]+/[^/@\s]+?)(@(?P<revision>\S+))?/?")
LOGIN = "'hf auth login' keeps one, or HF_TOKEN holds it"


def is_address(target: str) -> bool:
    """Returns whether a target is on the Hub."""
    return target.startswith("hf:/")


def library() -> Any:
    """Returns the package ``huggingface_hub``. Raises `UserError` where it is not installed."""
    try:
        hub: Any = import_module("huggingface_hub")
        for name in ("constants", "errors", "utils"):
            import_module(f"huggingface_hub.{name}")
    except ImportError:
        raise UserError(
            'the Hub needs huggingface_hub, which is not installed: pip install "worldmodels-vmc[hub]" brings it'
        ) from None
    if progress.loudness == "quiet" or not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    return hub


def checked_repo(repo: str) -> str:
    """Returns a repository's name. Raises `UserError` unless it is ``user/repo``, as the Hub allows it."""
    hub = library()
    try:
        if repo.count("/") != 1:
            raise hub.errors.HFValidationError
        hub.utils.validate_repo_id(repo)
    except hub.errors.HFValidationError:
        raise UserError(
            f"'{repo}' is no repository's name: give user/repo, letters, digits, '-', '_' and '.', at most 96 of them"
        ) from None
    return repo


@contextlib.contextmanager
def failures(what: str) -> Iterator[None]:
    """Makes one line of whatever the Hub, the network or the library refuses inside; ``what`` names the repository."""
    hub = library()
    errors = hub.errors
    http_error = errors.HfHubHTTPError.__bases__[0]  # of whichever HTTP client the library uses
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{what}: its owner lets in whom they have admitted; ask on its page, and {LOGIN}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{what}: no such repository on the Hub, or a private one and no token that may read it; {LOGIN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{what}: the repository has no such branch, tag or commit") from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError(f"{what}: HF_HUB_OFFLINE is set, and this needs the network; unset it") from error
    except errors.LocalEntryNotFoundError as error:
        if hub.constants.HF_HUB_OFFLINE:
            raise UserError(f"{what}: was never loaded here, and HF_HUB_OFFLINE is set; unset it") from error
        why = _first_line(error.__cause__ or error)
        raise EnvironmentFailure(f"{what}: the Hub does not answer, and it was never loaded here ({why}); try again") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UserError(f"{what}: the Hub refuses the token ({status}); one that may write is needed: {LOGIN}") from error
        raise EnvironmentFailure(f"{what}: the Hub answers {status} ({_first_line(error)}); try again") from error
    except http_error as error:
        where = hub.constants.ENDPOINT
        raise EnvironmentFailure(f"{what}: the Hub at {where} does not answer ({_first_line(error)}); try again") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def downloaded(target: str) -> Path:
    """Returns the folder of a model on the Hub, loaded into the library's cache unless it is there.

    Raises:
        UserError: the address is none, the library is missing, or there is no such repository, revision or model.
        BadFileError: a file is not the one that was pushed.
        EnvironmentFailure: the Hub does not answer, and the model was never loaded here.
    """
    found = _ADDRESS.fullmatch(target)
    if found is None:
        raise UserError(f"'{target}' is no address on the Hub: give hf://user/repo or hf://user/repo@revision")
    hub = library()
    repo, revision = checked_repo(found["repo"]), found["revision"]
    about = {"library_name": "worldmodels", "library_version": own_version()}
    with failures(target):
        folder = Path(hub.snapshot_download(repo, revision=revision, allow_patterns=list(FILES), **about))
    if not (folder / CONFIG).exists():
        raise UserError(f"{target}: no model is there (no {CONFIG}); 'worldmodels push' writes one")
    _check(folder, target)
    return folder


def _check(folder: Path, target: str) -> None:
    """Raises `BadFileError` where a file's bytes are not those of the hash that the Hub or ``config.json`` has of it."""
    for path in sorted(folder.iterdir()):
        kept = path.resolve()
        if _hash_of(path, kept.name) != kept.name:
            raise BadFileError(
                f"{target}: {path.name} is not what the Hub keeps: it is damaged; delete {kept} and load it again"
            )
    config = files.read_json(folder / CONFIG)
    hashes = config.get("sha256") if isinstance(config, dict) else None
    if not isinstance(hashes, dict):
        raise BadFileError(f"{target}: {CONFIG} is not a model's configuration")
    for part in PARTS:
        path = folder / f"{part}.safetensors"
        if not path.is_file():
            raise BadFileError(f"{target}: {path.name} is missing")
        if (sha256 := files.sha256_of(path)) != hashes.get(part):
            raise BadFileError(
                f"{target}: {path.name} has SHA-256 {sha256[:12]}…, its {CONFIG} says {str(hashes.get(part))[:12]}…: it was "
                f"changed after it was pushed; do not use it"
            )


def _hash_of(path: Path, name: str) -> str:
    """Returns a file's hash of the kind that its name in the cache is: SHA-256, or git's; any other name is returned."""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return files.sha256_of(path)
    if re.fullmatch(r"[0-9a-f]{40}", name):
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return name
