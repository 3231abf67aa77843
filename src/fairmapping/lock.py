"""One process at a time at a place: a lock file, in a folder or on an object store."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .store import PARTIAL, Place

__all__ = ["locked"]

_LOCK = ".lock"
BEAT, STALE = 20.0, 120.0  # seconds: how often a lock on an object store is renewed, and when it counts as left
_held: set[str] = set()  # by this process


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """This process alone works on the place, which is made where it is missing. Within one process it nests.

    A lock left by a process that is gone is taken over: at once where that ran on this machine, and on an object store
    two minutes after its last sign of life. Should two ever work at once nevertheless, both write the same whole
    files, so that work is lost and no data. Raises RuntimeError where another one is at work.
    """
    key = str(place if place.path is None else place.path.resolve())
    if key in _held:
        yield
        return
    _held.add(key)
    try:
        with _locked_folder(place.path) if place.path is not None else _locked_store(place):
            yield
    finally:
        _held.discard(key)


def _me() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _owner(text: str) -> dict[str, Any]:
    try:
        owner = json.loads(text)
        return owner if isinstance(owner["pid"], int) and isinstance(owner["host"], str) else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _gone(owner: dict[str, Any]) -> bool:
    """Whether the owner certainly runs no more: a process of this machine that is not there."""
    return bool(owner) and owner["host"] == _me()["host"] and (owner["pid"] == os.getpid() or not _alive(owner["pid"]))


def _refusal(owner: dict[str, Any], place: Any, lock: Any) -> RuntimeError:
    who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
    return RuntimeError(
        f"{who} is at work on {place}; wait for it or give another folder. "
        f"If it is no longer running, delete {lock} and call again"
    )


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    path = folder.resolve() / _LOCK
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(_me(), file)
            break
        except FileExistsError:
            try:
                text, age = path.read_text(encoding="utf-8"), time.time() - path.stat().st_mtime
                # Without a word in it for a while, its owner was killed between making and filling it.
                if not (_gone(_owner(text)) or (not text and age > 10)):
                    raise _refusal(_owner(text), folder, path) from None
                aside = path.with_name(f"{_LOCK}.{uuid.uuid4().hex[:8]}")
                os.rename(path, aside)  # only one of several that see it left can move it
                if aside.read_text(encoding="utf-8") != text:
                    os.rename(aside, path)  # another one was quicker, and this is its lock
                else:
                    aside.unlink()
            except FileNotFoundError:
                continue
    partial = folder / PARTIAL
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a kill left half written
        yield
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        path.unlink(missing_ok=True)


@contextmanager
def _locked_store(place: Place) -> Iterator[None]:
    mine = _me() | {"token": uuid.uuid4().hex}

    def write(mode: str = "overwrite") -> None:
        place.fs.pipe_file(place.join(_LOCK), json.dumps(mine | {"at": time.time()}).encode(), mode=mode)

    try:
        write("create")
    except FileExistsError:
        owner = _owner(place.read(_LOCK).decode())
        if not (_gone(owner) or (owner and time.time() - owner.get("at", 0) > STALE)):
            raise _refusal(owner, place, f"{place}/{_LOCK}") from None
        write()
        time.sleep(1)  # another one may have seen the same: the last to write has it
    owner = _owner(place.read(_LOCK).decode())
    if owner.get("token") != mine["token"]:
        raise _refusal(owner, place, f"{place}/{_LOCK}")
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            write()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        place.remove(_LOCK)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 is Ctrl-C; the message of locked() says what to delete
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
