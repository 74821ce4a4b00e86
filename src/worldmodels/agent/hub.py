"""Agents on the Hugging Face Hub: ``hf://user/repo`` and ``hf://user/repo@revision``, as every command takes them.

Only the files of a model's folder are downloaded, into the library's own cache; nothing among them is code or a pickle. Each is
compared to the hash that the Hub keeps it under, and each part of the agent to the hash in its ``config.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from worldmodels.agent.files import PARTS
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError, WorldModelsError
from worldmodels.base.extras import how_to_install
from worldmodels.base.versions import own_version
from worldmodels.runs.layout import CARD, CONFIG, MAKING, TASK, WAY, WAY_RECORD
from worldmodels.runtime import progress

#: What a model's folder may hold, and all that is ever downloaded.
FILES = (CONFIG, TASK, CARD, MAKING, WAY, WAY_RECORD, *(f"{part}.safetensors" for part in PARTS))
#: A path makes one slash of two.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repo>[^/@\s]+/[^/@\s]+?)(@(?P<revision>\S+))?/?")
LOGIN = "'hf auth login' keeps one, or HF_TOKEN holds it"


def is_address(target: str) -> bool:
    """Returns whether a target is on the Hub."""
    return target.startswith("hf:/")


def library() -> Any:
    """Returns the package ``huggingface_hub``. Raises `UserError` where it is not installed, and `EnvironmentFailure` where its
    own variables (``HF_ENDPOINT``, …) keep it from being imported."""
    try:
        hub: Any = import_module("huggingface_hub")
        for name in ("constants", "errors", "utils"):
            import_module(f"huggingface_hub.{name}")
    except ImportError:
        raise UserError(f"the Hub needs huggingface_hub, which is not installed: {how_to_install('hub')}") from None
    except ValueError as error:
        where = os.environ.get("HF_ENDPOINT", "")
        raise EnvironmentFailure(f"the Hub: HF_ENDPOINT is '{where}', which is no address ({_first_line(error)})") from error
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


def address(repo: str, revision: str | None) -> str:
    """Returns the address of a repository, or of a branch, tag or commit of it. Raises `UserError` where there is none."""
    found = f"hf://{checked_repo(repo)}" + ("" if revision is None else f"@{revision}")
    if _ADDRESS.fullmatch(found) is None:
        raise UserError(f"'{revision}' is no branch that an address could name: give one word, without spaces")
    return found


@contextlib.contextmanager
def failures(what: str, writes: bool = False) -> Iterator[None]:
    """Makes one line of whatever the Hub, the network or the library refuses inside, which holds calls of the library alone.

    Args:
        what: names the repository.
        writes: what is done there needs the right to write.
    """
    hub = library()
    errors = hub.errors
    http_error = errors.HfHubHTTPError.__bases__[0]  # of whichever HTTP client the library uses
    try:
        with _silent():
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
        cause = error.__cause__ or error
        if hub.constants.HF_HUB_OFFLINE:
            raise UserError(f"{what}: is not in the cache here, or not whole, and HF_HUB_OFFLINE is set; unset it") from error
        if isinstance(cause, errors.HfHubHTTPError):
            raise _answered(what, cause, writes) from error
        why = f"the Hub does not answer, and it is not in the cache here, or not whole ({_first_line(cause)})"
        raise EnvironmentFailure(f"{what}: {why}; try again") from error
    except errors.HfHubHTTPError as error:
        raise _answered(what, error, writes) from error
    except http_error as error:
        where = hub.constants.ENDPOINT
        raise EnvironmentFailure(f"{what}: the Hub at {where} does not answer ({_first_line(error)}); try again") from error
    except UnicodeEncodeError as error:
        raise EnvironmentFailure(f"{what}: the token has a letter that no token has; {LOGIN}") from error
    except OSError as error:
        where = f"the Hub's cache {hub.constants.HF_HUB_CACHE}"
        raise EnvironmentFailure(
            f"{what}: {where} cannot be written ({error.strerror or error}); HF_HOME names another folder"
        ) from error
    except WorldModelsError:
        raise
    except Exception as error:  # a page of a hotel's network, an answer that lacks what each has
        where = hub.constants.ENDPOINT
        raise EnvironmentFailure(
            f"{what}: {where} does not answer as the Hub does ({type(error).__name__}: {_first_line(error)}); try again"
        ) from error


def _answered(what: str, error: Any, writes: bool) -> WorldModelsError:
    """Returns what is said where the Hub answers, and refuses."""
    status = error.response.status_code
    if status == 401:
        use = "give one that may write" if writes else "give one that may read it, or none if all may"
        return UserError(f"{what}: the Hub refuses the token ({status}): {use}; {LOGIN}")
    if status == 403:
        use = "one that may write there is needed" if writes else "it may not read this, or this has been disabled"
        return UserError(f"{what}: the Hub forbids it to this token ({status}): {use}; {LOGIN}")
    if status == 429:
        return EnvironmentFailure(f"{what}: the Hub has had too many requests from here ({status}); wait some minutes")
    if status >= 500:
        return EnvironmentFailure(f"{what}: the Hub has a fault of its own ({status}); try again later")
    return EnvironmentFailure(f"{what}: the Hub answers {status} ({_first_line(error)})")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Inside, the library logs and warns of nothing: what matters of it is said in one line. With --verbose it may."""
    if progress.loudness == "verbose":
        yield
        return
    said = library().utils.logging
    level = said.get_verbosity()
    said.set_verbosity(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        said.set_verbosity(level)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def downloaded(target: str) -> Path:
    """Returns the folder of a model on the Hub, loaded into the library's cache unless it is there.

    Raises:
        UserError: the address is none, the library is missing, or there is no such repository, revision or model.
        BadFileError: a file is not the one that was pushed.
        EnvironmentFailure: the Hub does not answer, and the cache has not the whole model.
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
    _check(folder, target, repo)
    return folder


def _check(folder: Path, target: str, repo: str) -> None:
    """Raises `BadFileError` where a file's bytes are not those of the hash that the Hub or ``config.json`` has of it."""
    paths = sorted(folder.iterdir())
    kept = {path.name: path.resolve().name for path in paths if path.is_symlink()}
    if plain := [path.name for path in paths if not path.is_symlink()]:
        kept |= _hashes_there(repo, folder.name, plain)
    for path in paths:
        wanted = kept.get(path.name)
        if wanted is not None and _hash_of(path, wanted) != wanted:
            raise BadFileError(
                f"{target}: {path.name} is not what the Hub keeps: it is damaged; delete {path.resolve()} and load it again"
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


def _hashes_there(repo: str, commit: str, names: list[str]) -> dict[str, str]:
    """Returns the hash that the Hub keeps each of these files of a commit under, "" for one that it has not: the cache has them
    by their names alone where links are switched off or the disk has none. Returns nothing where the Hub does not answer."""
    hub = library()
    try:
        with failures(repo):
            found = hub.HfApi().get_paths_info(repo, names, revision=commit)
            there = {each.path: each.lfs.sha256 if each.lfs else each.blob_id for each in found}
    except WorldModelsError:
        return {}
    return {name: there.get(name, "") for name in names}


def _hash_of(path: Path, name: str) -> str:
    """Returns a file's hash of the kind that its name in the cache is: SHA-256, or git's; of any other name "?"."""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return files.sha256_of(path)
    if re.fullmatch(r"[0-9a-f]{40}", name):
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return "?"
