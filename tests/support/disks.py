"""Disks that do less than others."""

from __future__ import annotations

import errno
import os
import stat

import pytest


def sync_no_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on files are synced and directories are not, as some network and FUSE file systems have it."""
    ours = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        ours(descriptor)

    monkeypatch.setattr("os.fsync", sync)
