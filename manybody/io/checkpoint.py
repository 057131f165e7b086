# SPDX-License-Identifier: Apache-2.0
"""Trees of arrays in files: atomic, versioned, checked, never pickled.

A checkpoint is a NumPy archive (.npz, with a checksum per entry): one array per leaf, named by its path in the tree,
and a JSON header. It is written aside, synced to disk and renamed, so a file that has the right name is whole; should
a disk lose part of one all the same, reading it fails and the one before is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import PyTree
from manybody.parallel.keys import key_data, like_key

FORMAT = 1
_HEADER = "__header__"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def save_tree(path: Path, tree: PyTree, header: dict[str, Any]) -> None:
    """Write `tree` (leaves on the host or gathered there) and a JSON-able `header` to `path`, atomically.

    Raises:
        ValueError: if there is no directory for it.
    """
    leaves = {_name(key): _to_numpy(leaf) for key, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
    text = json.dumps({"format": FORMAT, **header})
    must = "lie in a directory that is there"
    _checks.require(path.parent.is_dir(), "path", must, repr(str(path)), f"Make {path.parent} first.")
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            np.savez(file, **{_HEADER: np.array(text)}, **leaves)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync_directory(path.parent)


def load_header(path: Path) -> dict[str, Any]:
    """The header alone.

    Raises:
        CheckpointError: if there is no such file, or it is damaged or of another version.
    """
    with _opened(path) as archive:
        text = str(archive[_HEADER]) if _HEADER in archive.files else "{}"
    header = json.loads(text)
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {header.get('format')}, this version reads format {FORMAT}.")
    return header


def load_tree(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a tree with the structure, shapes and types of `like`, and its header.

    Raises:
        CheckpointError: if there is no such file, or it is damaged, of another version, or holds another tree (names
            the difference).
    """
    header = load_header(path)
    with _opened(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != _HEADER}
    flat, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {_name(key): leaf for key, leaf in flat}
    difference = sorted(set(wanted) ^ set(arrays))
    if difference:
        raise CheckpointError(f"{path} holds another tree: {', '.join(difference[:5])} on one side only.")
    return jax.tree.unflatten(structure, [_from_numpy(arrays[n], leaf, n, path) for n, leaf in wanted.items()]), header


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except FileNotFoundError as error:
        raise CheckpointError(_checks.requirement("path", "be a file that is there", repr(str(path)))) from error
    except (PermissionError, IsADirectoryError) as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def newest_first(directory: Path, pattern: str = "checkpoint-*.npz") -> list[Path]:
    """Checkpoints in a directory, the newest first."""
    return sorted(directory.glob(pattern), reverse=True)


def _name(path: tuple) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path) or "value"


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(key_data(leaf))


def _from_numpy(array: np.ndarray, like: Any, name: str, path: Path) -> Any:
    expected = _to_numpy(like)
    if (array.shape, array.dtype) != (expected.shape, expected.dtype):
        must = f"have shape {expected.shape} and type {expected.dtype}, as in this run"
        raise CheckpointError(_checks.requirement(name, must, f"{array.shape} and {array.dtype} in {path}"))
    return like_key(jnp.asarray(array), like)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
