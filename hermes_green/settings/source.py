"""Source: a YAML file as a tree in which every key and value knows its place."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Union

import yaml

from hermes_green.settings.problem import Problem, Spot, nearest

MAX_BYTES = 1 << 20
MAX_NODES = 50_000  # aliases may repeat a subtree; a file of a few lines could otherwise name billions
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
# What stands behind such a mark may be a secret, and is not repeated.
_TAGGED = "tags are not used here: a value that begins with ! must stand in quotes"
_KEY = re.compile(r"([A-Za-z_][\w-]*)['\"]?\s*:(?=\s|$)")
# What people write where a key should end: a colon without a blank, an equals sign, the colon of Chinese keyboards.
_ALMOST = re.compile(r"^( *(\w+))(：|=|:(?=\S))", re.MULTILINE)
_COLUMN = "keys of one mapping must begin in the same column"
# PyYAML's words for what is wrong, and what to do about it.
_MENDED: tuple[tuple[str, str], ...] = (
    (r"found character '(.)' that cannot start any token", r"a value that begins with \1 must stand in quotes"),
    (r"mapping values are not allowed here", f'{_COLUMN}, and a value that holds ": " must stand in quotes'),
    (r"expected '<document start>', but found '<block mapping start>'", _COLUMN),
    (r"expected <block end>, but found '<block mapping start>'", _COLUMN),
    (r"expected <block end>, but found '<scalar>'", "nothing may follow a value in quotes"),
)
# These it tells where it gave up; what is to be mended begins earlier.
_BEGUN = {
    "while scanning a simple key": 'a colon and a blank must follow a key, as in "key: value"',
    "while scanning a quoted scalar": "this quote is never closed",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written; ``quoted`` when it stood in quotes or a block."""

    spot: Spot
    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence."""

    spot: Spot
    items: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    spot: Spot
    value: "Tree"


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the file."""

    spot: Spot
    entries: Mapping[str, Entry] = field(default_factory=dict)


Tree = Union[Scalar, Listing, Table]
Known = Mapping[str, str]  # dotted key -> its sentence of help


def merged(base: Table, over: Table) -> Table:
    """``over`` laid over ``base``: tables are merged, everything else is replaced; places stay true."""
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        below = entries.get(name)
        if below and isinstance(below.value, Table) and isinstance(entry.value, Table):
            entry = Entry(entry.spot, merged(below.value, entry.value))
        entries[name] = entry
    return Table(over.spot if over.entries else base.spot, entries)


class Source:
    """Reads one file; what is wrong with it is added to ``problems``."""

    def __init__(self, path: Path, known: Known, problems: list[Problem]) -> None:
        self.file = str(path)
        self.data = b""
        self._path = path
        self._known = known
        self._problems = problems
        self._text = ""
        self._nodes = 0

    def read(self) -> Table:
        """The file's tree; an empty table where the file is empty or cannot be read at all."""
        nothing = Table(Spot(self.file))
        if not self._fetch():
            return nothing
        try:
            root = yaml.compose(self._text, Loader=yaml.SafeLoader)
            if root is None:
                return nothing
            tree = self._tree(root, ())
        except yaml.reader.ReaderError as error:
            character = self._text[error.position : error.position + 1]
            what = f"the character U+{ord(character or chr(0)):04X} cannot stand here"
            self._broken(self._spot_of(error.position), what)
            return nothing
        except yaml.MarkedYAMLError as error:
            self._marked(error)
            return nothing
        except (yaml.YAMLError, RecursionError):
            self._broken(Spot(self.file), "the file is nested too deeply")
            return nothing
        if not isinstance(tree, Table):
            if not self._almost():
                self._broken(tree.spot, "the file must be a mapping, one key: value per line")
            return nothing
        return tree

    def _fetch(self) -> bool:
        try:
            mode = self._path.stat().st_mode
            if not stat.S_ISREG(mode):
                raise OSError("it is not a regular file")
            with self._path.open("rb") as stream:
                self.data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            self._broken(Spot(self.file), f"the file cannot be read: {error.strerror or error}")
            return False
        if len(self.data) > MAX_BYTES:
            self._broken(Spot(self.file), "the file is larger than 1 MiB")
            return False
        try:
            self._text = self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            self._text = self.data[: error.start].decode("utf-8")
            spot = self._spot_of(len(self._text))
            self._broken(spot, f"the byte 0x{self.data[error.start]:02x} is not UTF-8; save the file as UTF-8")
            return False
        if self._text.startswith("\ufeff"):
            self._text = self._text[1:]
            self._broken(Spot(self.file), "the file begins with a byte order mark; save it as UTF-8 without one")
            return False
        return True

    def _spot_of(self, position: int) -> Spot:
        before = self._text[:position]
        return Spot(self.file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)

    def _spot(self, mark: yaml.Mark) -> Spot:
        return Spot(self.file, mark.line + 1, mark.column + 1)

    def _almost(self) -> bool:
        """Whether keys lack their colon and blank, and the file is one as soon as they have them; told of the first."""
        words = {key.rpartition(".")[2] for key in self._known}
        found = [match for match in _ALMOST.finditer(self._text) if match[2] in words]
        mended = _ALMOST.sub(lambda match: f"{match[1]}: " if match[2] in words else match[0], self._text)
        try:
            if not found or not isinstance(yaml.compose(mended, Loader=yaml.SafeLoader), yaml.MappingNode):
                return False
        except (yaml.YAMLError, RecursionError):
            return False
        what = f'": ", a colon and a blank, must stand between a key and its value, not "{found[0][3]}"'
        self._broken(self._spot_of(found[0].start(3)), what, found[0][2])
        return True

    def _marked(self, error: yaml.MarkedYAMLError) -> None:
        if self._almost():
            return
        mark = error.problem_mark or error.context_mark
        spot = self._spot(mark) if mark else Spot(self.file)
        what = f"{error.problem or error.context}"
        if "'\\t'" in what:
            what = "a tab cannot indent or begin a value; use spaces"
        elif mark and self._text[mark.index - 1 : mark.index + 1] == "${":
            what = "inside [ ] and { } a ${VAR} must stand in quotes"
        elif what.startswith("found undefined alias"):
            what = "an undefined alias: a value that begins with * must stand in quotes"
        elif error.context == "expected a single document in the stream":
            what = "a second document begins here; the file may hold one"
        elif error.context in _BEGUN and error.context_mark:
            spot, what = self._spot(error.context_mark), _BEGUN[error.context]
        for said, mending in _MENDED:
            what = re.sub(f"^{said}$", mending, what)
        self._broken(spot, what)

    def _broken(self, spot: Spot, what: str, key: str = "") -> None:
        """A problem of form. ``key``: whose; else the nearest is the last one written at or above the place."""
        lines = self._text.split("\n")[: spot.line]
        if any(_KEY.findall(lines[-1][: spot.column - 1])):
            lines[-1] = lines[-1][: spot.column - 1]
        written = [found[-1] for line in lines if (found := _KEY.findall(line))]
        named = key or (written[-1] if written else "")
        key = nearest(named, self._known) if named else next(iter(self._known))
        self._problems.append(Problem(spot, what, key, self._known[key]))

    def _tree(self, node: yaml.Node, above: tuple[int, ...]) -> Tree:
        spot = self._spot(node.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(problem="aliases make the file too large", problem_mark=node.start_mark)
        if id(node) in above:
            raise yaml.MarkedYAMLError(problem="this anchor contains itself", problem_mark=node.start_mark)
        above = (*above, id(node))
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _PLAIN_TAGS:
                self._broken(spot, _TAGGED)
            return Scalar(spot, node.value, node.style is not None)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != _TAG + "seq":
                self._broken(spot, _TAGGED)
            return Listing(spot, tuple(self._tree(item, above) for item in node.value))
        if node.tag != _TAG + "map":
            self._broken(spot, _TAGGED)
        return self._table(node, spot, above)

    def _table(self, node: yaml.Node, spot: Spot, above: tuple[int, ...]) -> Table:
        own: dict[str, Entry] = {}
        shared: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            place = self._spot(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._broken(place, "a key must be a single word")
                continue
            value = self._tree(value_node, above)
            if key_node.tag == _TAG + "merge":
                for table in value.items if isinstance(value, Listing) else (value,):
                    if isinstance(table, Table):
                        shared = {**table.entries, **shared}
                    else:
                        self._broken(place, "<< takes a mapping")
            elif key_node.value in own:
                first = own[key_node.value].spot.line
                self._broken(place, f'the key "{key_node.value}" stands twice, first in line {first}')
            else:
                own[key_node.value] = Entry(place, value)
        return Table(spot, {**shared, **own})
