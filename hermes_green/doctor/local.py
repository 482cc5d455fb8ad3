"""What lies on the disk: room, permissions, and locks with those who hold them."""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import Iterator

from hermes_green.blueprint import credentials
from hermes_green.doctor.finding import Check, Finding
from hermes_green.doctor.subject import Subject
from hermes_green.ops.lock import data_lock_path, owner
from hermes_green.ops.places import media_path, misplaced, published_path

MIB = 1024 * 1024
LITTLE, FEW = 500 * MIB, 50 * MIB  # bytes of room that are worth a word, and that are too few
# A key for something secret with its value, which is not taken from elsewhere; or an address with a password in it.
_SECRET = re.compile(
    r"""(?:secret|token|api_key|password)["']?\s*:\s*["']?(?!\$\{|file:)[^\s"'#,{}\[\]]|://[^\s/@:]*:[^\s/@]+@"""
)
_COMMENT = re.compile(r"(?:^|\s)#.*")


def checks(subject: Subject) -> list[Check]:
    """What needs the place of the data alone."""
    found = [Check("permissions", partial(_conf_files, subject.conf_dir))]
    found.append(Check("permissions", partial(_in_the_way, subject)))
    places = {"state": subject.state_dir}
    if subject.outline is not None:
        places["data_dir"] = subject.outline.data_dir
    for name, place in places.items():
        found.append(Check(f"disk {name}", partial(_disk, name, place)))
        found.append(Check("permissions", partial(_folder, name, place)))
    if subject.outline is not None and os.path.isdir(media := media_path(subject.outline.data_dir)):
        found.append(Check("permissions", partial(_folder, "media", media)))
    found.append(Check("locks", partial(_locks, subject)))
    return found


def _disk(name: str, place: Path) -> Iterator[Finding]:
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    text = f"{free // MIB} MB free at {place}"
    if free < FEW or (room.f_files and not room.f_favail):
        yield Finding(f"disk {name}", "wrong", text, "free some space: without it no message is taken in")
    elif free < LITTLE:
        yield Finding(f"disk {name}", "note", text, "free some space before it runs out")
    else:
        yield Finding(f"disk {name}", "ok", text)


def _in_the_way(subject: Subject) -> Iterator[Finding]:
    """Files where directories are to be, and the other way round."""
    if subject.outline is None:
        return
    log = subject.config.log.file if subject.config is not None else ""
    for wrong in misplaced(subject.outline.data_dir, [subject.state_dir], [Path(log)] if log else []):
        yield Finding("permissions", "wrong", wrong.text, wrong.action)


def _folder(name: str, place: Path) -> Iterator[Finding]:
    """Ours to write, and nobody else's to read."""
    above = next(folder for folder in (place, *place.parents) if folder.exists())
    if not above.is_dir():
        return  # something is in the way, which another check tells of
    if above != place:
        if os.access(above, os.W_OK | os.X_OK):
            yield Finding("permissions", "ok", f"{place} will be made at the first start")
        else:
            yield Finding("permissions", "wrong", f"{place} cannot be made: {above} is not writable", f"chown {above}")
        return
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("permissions", "wrong", f"{place} is not writable for this user", f"chown or chmod u+rwx {place}")
        return
    open_ = [path for path in sorted(place.iterdir()) if path.is_file() and _others_read(path)]
    foreign = [path for path in sorted(place.iterdir()) if path.is_file() and not os.access(path, os.R_OK | os.W_OK)]
    for path in foreign[:5]:
        yield Finding("permissions", "wrong", f"{path} is not readable and writable for this user", f"chown {path}")
    for path in open_[:5]:
        yield Finding("permissions", "wrong", f"{path} can be read by others", f"chmod 600 {path}")
    if not foreign and not open_:
        yield Finding("permissions", "ok", f"{name} at {place} is this user's own")


def _conf_files(conf_dir: Path) -> Iterator[Finding]:
    """Files with a secret in them are for their owner alone; what ships with the gateway has none."""
    if not conf_dir.is_dir():
        return
    readable = [path for path in sorted(conf_dir.iterdir()) if path.is_file() and _holds_secret(path)]
    for path in (path for path in readable if _others_read(path)):
        yield Finding("permissions", "wrong", f"{path} holds a secret and can be read by others", f"chmod 600 {path}")


def _holds_secret(path: Path) -> bool:
    if path.suffix == ".secret":
        return True
    if not path.name.endswith(".yaml"):
        return False
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(_SECRET.search(_COMMENT.sub("", line)) for line in lines)


def _others_read(path: Path) -> bool:
    """Whether others may read or write it, and get to where it lies."""
    file, folder = path.stat().st_mode, path.parent.stat().st_mode
    group = file & (stat.S_IRGRP | stat.S_IWGRP) and folder & stat.S_IXGRP
    return bool(group or (file & (stat.S_IROTH | stat.S_IWOTH) and folder & stat.S_IXOTH))


def _locks(subject: Subject) -> Iterator[Finding]:
    if subject.outline is None:
        return
    data_dir = subject.outline.data_dir
    holder = owner(data_lock_path(data_dir))
    running = holder.pid if holder is not None else 0
    if holder is None:
        left = published_path(data_dir)
        told = "; gateway.json of one that died is still there, which does no harm" if left.exists() else ""
        yield Finding("locks", "ok", f"{data_dir} is free: no gateway runs on it{told}")
    else:
        yield Finding("locks", "ok", f"{data_dir} is held by process {running or '?'}: the gateway runs")
    if subject.config is None:
        return
    for bot, child in credentials(subject.config.children).items():
        held = owner(subject.state_dir / f"{bot}.lock")
        if held is not None and held.pid != running:
            text = f"the bot of {child} belongs to process {held.pid or '?'}, data_dir {held.data_dir or 'unknown'}"
            yield Finding("locks", "wrong", text, "stop that gateway, or give this one a bot of its own")
