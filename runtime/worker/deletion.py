"""What attempts leave on a node's disk, deleted in a thread of its own, however much it is and however nested.

What is to be deleted is renamed into one directory, which takes a moment whatever it contains; the thread empties that
directory. A model made what lies there, so no link is followed, and a directory without permissions gets some. Nothing
recurses: a directory inside another is moved up and waits its turn, because a tree may be deeper than the number of
directories that a process may hold open.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid

import structlog

from runtime.worker.folders import have_folder, open_folder, unlock

log = structlog.get_logger(__name__)


class Deleter:
    """`delete` and `close` are for one thread, the agent's."""

    def __init__(self, root: int, name: str) -> None:
        """From now on, delete what lies in the directory `name` of the open directory `root`. OSError."""
        self._root = root
        self._name = name
        self._state = threading.Condition()
        self._wanted = True
        self._closing = False
        self.have(name)
        self._thread = threading.Thread(target=self._work, name="deleter", daemon=True)
        self._thread.start()

    def delete(self, path: str) -> None:
        """Have the thread delete what has this path under the root, if there is anything. What cannot be renamed stays;
        the log says so."""
        try:
            os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return
        try:
            self.have(self._name)  # a child may have put something else there
            self._set_aside(path)
        except OSError as error:
            log.warning("what an attempt left stays on disk: it cannot be renamed", error=type(error).__name__)
            return
        with self._state:
            self._wanted = True
            self._state.notify_all()

    def have(self, name: str) -> None:
        """Make sure that the root has a directory of this name, which its owner may use. What stood there instead is
        deleted. OSError."""
        aside = f"{name}-{_new_name()}"
        if have_folder(self._root, name, aside):
            self.delete(aside)

    def close(self, within_s: float) -> bool:
        """Stop. True when all was deleted within the time; the next agent in this scratch deletes the rest."""
        with self._state:
            self._closing = True
            self._state.notify_all()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _set_aside(self, path: str) -> None:
        target = f"{self._name}/{_new_name()}"
        try:
            os.rename(path, target, src_dir_fd=self._root, dst_dir_fd=self._root)
        except PermissionError:
            unlock(self._root, path)
            os.rename(path, target, src_dir_fd=self._root, dst_dir_fd=self._root)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._is_wanted():
            try:
                while self._sweep():
                    pass
            except (
                Exception
            ) as error:  # whatever a model left must not end the thread that deletes what all models leave
                log.warning("not all was deleted", error=type(error).__name__)

    def _is_wanted(self) -> bool:
        """Wait until there is something to delete. False when the deleter closes."""
        with self._state:
            self._state.wait_for(lambda: self._wanted or self._closing)
            wanted, self._wanted = self._wanted, False
            return wanted

    def _sweep(self) -> bool:
        """Go through the directory once. True when something was deleted, so that another round may delete more."""
        folder = open_folder(self._root, self._name)
        try:
            return self._empty(folder, folder)
        finally:
            os.close(folder)

    def _empty(self, folder: int, within: int) -> bool:
        """Delete what is in `within`; directories inside it are moved up into `folder`. True when something changed."""
        went = False
        with os.scandir(within) as entries:
            for entry in entries:
                with contextlib.suppress(
                    OSError
                ):  # the entry stays, and is tried again as long as others can be deleted
                    went = self._delete(folder, within, entry.name) or went
        return went

    def _delete(self, folder: int, within: int, name: str) -> bool:
        """Delete what has this name, or move or empty part of it. True when something changed. OSError."""
        try:
            os.unlink(name, dir_fd=within)
            return True
        except IsADirectoryError:
            pass
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=within)
            return True
        unlock(within, name)
        if within != folder:
            os.rename(name, _new_name(), src_dir_fd=within, dst_dir_fd=folder)
            return True
        inner = open_folder(folder, name)
        try:
            went = self._empty(folder, inner)
        finally:
            os.close(inner)
        with contextlib.suppress(OSError):  # not empty yet
            os.rmdir(name, dir_fd=folder)
            return True
        return went


def _new_name() -> str:
    """A name that nothing else has, not even what an earlier agent left."""
    return uuid.uuid4().hex
