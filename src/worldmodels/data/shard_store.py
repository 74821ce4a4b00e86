"""Shards at an fsspec URL: where many machines leave what they have played, until the run's folder has it.

URL/
  RUN               which collection this is: the fingerprint of its settings
  shard-00000/…     a shard's three files, the manifest last: a shard is there once its manifest is

On a disk, and where the URL is one (file://, or a plain path), a shard is written beside and renamed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.files import link_folder
from worldmodels.data.episodes import Shard
from worldmodels.runs.layout import FRAMES, SHARD, STEPS

#: A shard's files in the order in which they are sent.
FILES = (FRAMES, STEPS, SHARD)


class ShardStore:
    """A folder of shards behind an fsspec URL, such as ``s3://bucket/name`` or ``file:///shared/name``.

    Raises:
        UserError: nothing is known of such a URL, or the package that knows it is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"{url}: {error}") from None
        self._is_disk = isinstance(self._files, LocalFileSystem)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Turns what the file system raises into one line. Every file system has errors of its own."""
        try:
            yield
        except (UserError, EnvironmentFailure):
            raise
        except Exception as error:
            raise EnvironmentFailure(f"{self.url}: {error or type(error).__name__}") from error

    def claim(self, fingerprint: str) -> None:
        """Marks the URL as one collection's. Raises `UserError` if it is another's."""
        path = f"{self._root}/RUN"
        with self._reported():
            self._files.makedirs(self._root, exist_ok=True)
            if not self._files.exists(path):
                self._files.pipe_file(path, fingerprint.encode())
            elif self._files.cat_file(path) != fingerprint.encode():
                raise UserError(f"{self.url}: holds the episodes of another run or of other settings; use another URL")

    def has(self, name: str) -> bool:
        """Returns whether a shard is there, whole."""
        with self._reported():
            # Others write there too: what was listed before is no answer.
            self._files.invalidate_cache()
            return bool(self._files.exists(f"{self._root}/{name}/shard.json"))

    def put(self, shard: Path) -> None:
        """Sends a shard's folder, under its own name."""
        target = f"{self._root}/{shard.name}"
        with self._reported():
            if self._is_disk:
                link_folder(shard, Path(target))
                return
            self._files.makedirs(target, exist_ok=True)
            for file in FILES:
                self._files.put_file(str(shard / file), f"{target}/{file}")

    def fetch(self, shard: Path) -> None:
        """Brings a shard to the folder ``shard``, checked, whole or not at all. Raises `BadFileError` if it is damaged."""
        source = f"{self._root}/{shard.name}"
        if self._is_disk:
            Shard(Path(source)).verify()
            link_folder(Path(source), shard)
            return
        temporary = shard.with_name(f".{shard.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        with self._reported():
            temporary.mkdir(parents=True)
            for file in FILES:
                self._files.get_file(f"{source}/{file}", str(temporary / file))
        Shard(temporary).verify()
        temporary.rename(shard)
