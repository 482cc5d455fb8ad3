"""Reads a configuration directory: files, their local overrides, and one child per enabled bot."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import fields, replace
from pathlib import Path
from typing import Callable, Mapping

from hermes_green.core.options import PlatformOptions
from hermes_green.settings.bind import Binder, known_keys
from hermes_green.settings.problem import ConfErrors, Problem, Spot, nearest
from hermes_green.settings.schema import ChildConfig, Config, Gateway, Http, Outline
from hermes_green.settings.source import Entry, Scalar, Source, Table, Tree, merged

Platforms = Mapping[str, type[PlatformOptions]]
Check = Callable[[PlatformOptions], list[str]]

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_WORD = re.compile(r"\w+")
# The page's own chat needs no pairing where only this machine's users can reach it.
_PAGE = "web"


def load(
    conf_dir: Path,
    platforms: Platforms,
    env: Mapping[str, str] | None = None,
    checks: Mapping[str, Check] | None = None,
) -> Config:
    """The whole configuration of ``conf_dir``.

    platforms: name -> declaration of its file. checks: name -> what an adapter package says of its
    settings beyond their types.

    Raises:
        ConfErrors: with every problem of every file.
    """
    return _Reading(conf_dir, os.environ if env is None else env).config(platforms, checks or {})


def load_outline(conf_dir: Path, env: Mapping[str, str] | None = None) -> Outline:
    """Where the gateway of ``conf_dir`` keeps its data and listens; nothing else is resolved.

    Raises:
        ConfErrors: gateway.yaml cannot be read, or these very keys are wrong.
    """
    return _Reading(conf_dir, os.environ if env is None else env).outline()


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and not tree.quoted and tree.text.lower() in ("", "~", "null")


class _Reading:
    """One reading of a directory; collects problems."""

    def __init__(self, conf_dir: Path, env: Mapping[str, str]) -> None:
        self._dir = Path(conf_dir)
        self._env = env
        self._problems: list[Problem] = []

    def outline(self) -> Outline:
        self._need_directory()
        table = self._file("gateway", Gateway)
        wanted = {name: entry for name, entry in table.entries.items() if name in ("data_dir", "http", "audit")}
        gateway = self._gateway(Table(table.spot, wanted))
        return Outline(self._dir, self._data_dir(gateway), gateway.http, gateway.audit)

    def config(self, platforms: Platforms, checks: Mapping[str, Check]) -> Config:
        self._need_directory()
        table = self._file("gateway", Gateway)
        gateway: Gateway | None = Binder(self._env, self._problems).group(Gateway, table)
        if gateway:
            self._check_http(gateway.http, table)
        self._foreign_files(platforms)
        children: list[ChildConfig] = []
        for name in platforms:
            children += self._children(name, platforms[name], table, gateway, checks.get(name))
        if self._problems or gateway is None:
            raise ConfErrors(self._problems)
        values = {item.name: getattr(gateway, item.name) for item in fields(Gateway)}
        values.update(
            data_dir=self._data_dir(gateway), routes=tuple(gateway.routes), hooks=tuple(gateway.hooks)
        )
        return Config(conf_dir=self._dir, children=tuple(children), **values)

    def _need_directory(self) -> None:
        what = ""
        if not os.path.isdir(self._dir):
            what = "there is no such directory; --conf DIR names the one that holds gateway.yaml"
        elif not os.access(self._dir, os.R_OK | os.X_OK):
            what = "the directory cannot be read by this user"
        if what:
            help = known_keys(Gateway)["data_dir"]
            raise ConfErrors([Problem(Spot(str(self._dir)), what, "data_dir", help)])

    def _file(self, name: str, declaration: type) -> Table:
        """``name``.yaml with ``name``.local.yaml laid over it."""
        known = known_keys(declaration)
        table = Table(Spot(str(self._dir / f"{name}.yaml")))
        for path in (self._dir / f"{name}.yaml", self._dir / f"{name}.local.yaml"):
            if not os.path.lexists(path):
                continue
            table = merged(table, Source(path, known, self._problems).read())
        return table

    def _gateway(self, table: Table) -> Gateway:
        gateway: Gateway | None = Binder(self._env, self._problems).group(Gateway, table)
        if self._problems or gateway is None:
            raise ConfErrors(self._problems)
        return gateway

    def _data_dir(self, gateway: Gateway) -> Path:
        # Not resolve(), which ends in an error of its own where a link leads to itself.
        return Path(os.path.realpath(self._dir.resolve().parent / os.path.expanduser(gateway.data_dir)))

    def _check_http(self, http: Http, table: Table) -> None:
        if is_loopback(http.host) or http.token:
            return
        inside = table.entries["http"].value
        spot = inside.entries["host"].value.spot if isinstance(inside, Table) else inside.spot
        what = f"http.host {http.host} can be reached from other machines, so http.token must be set"
        self._problems.append(Problem(spot, what, "http.token", known_keys(Http)["token"]))

    def _foreign_files(self, platforms: Platforms) -> None:
        """Files that nobody reads: an error where their owner clearly expects otherwise."""
        for path in sorted(self._dir.iterdir()):
            name = path.name.partition(".")[0]
            if path.suffix == ".yml" and (name == "gateway" or name in platforms):
                what = f"only files that end in .yaml are read; call it {path.stem}.yaml"
                self._unread(Spot(str(path)), what, Gateway if name == "gateway" else PlatformOptions)
            if path.suffix != ".yaml" or name == "gateway" or name in platforms:
                continue
            if path.name not in (f"{name}.yaml", f"{name}.local.yaml"):
                continue
            problems: list[Problem] = []
            table = Source(path, known_keys(PlatformOptions), problems).read()
            enabled = table.entries.get("enabled")
            if enabled and isinstance(enabled.value, Scalar) and enabled.value.text.lower() in ("true", "yes", "on"):
                names = ", ".join(sorted(platforms))
                what = f'there is no platform "{name}" here (nearest: {nearest(name, platforms)}); there are: {names}'
                self._unread(enabled.spot, what, PlatformOptions)

    def _unread(self, spot: Spot, what: str, declaration: type) -> None:
        """The first key stands for the whole file."""
        key, help = next(iter(known_keys(declaration).items()))
        self._problems.append(Problem(spot, what, key, help))

    def _children(
        self,
        name: str,
        declaration: type[PlatformOptions],
        gateway_table: Table,
        gateway: Gateway | None,
        check: Check | None,
    ) -> list[ChildConfig]:
        table = self._file(name, declaration)
        enabled = self._enabled(declaration, table)
        accounts = table.entries.get("accounts")
        if accounts is None or _is_null(accounts.value):
            trees = {"": table}
        elif isinstance(accounts.value, Table):
            trees = self._accounts(table, accounts.value) if accounts.value.entries else {"": table}
        else:
            only = Table(table.spot, {"accounts": accounts})
            Binder(self._env, self._problems, lenient=True).group(declaration, only)
            return []
        children = []
        for account, tree in trees.items():
            on = enabled and (not account or self._enabled(declaration, tree))
            tree = self._with_access(name, tree, gateway_table, gateway)
            binder = Binder(self._env, self._problems, lenient=not on)
            options = binder.group(declaration, tree, skip=("accounts",))
            if not on or options is None:
                continue
            for sentence in (*(check(options) if check else ()), *_authority(options.ca_file)):
                self._problems.append(self._checked(sentence, tree, declaration))
            children.append(ChildConfig(f"{name}/{account}" if account else name, name, account, options))
        return children

    def _enabled(self, declaration: type[PlatformOptions], table: Table) -> bool:
        entry = table.entries.get("enabled")
        if entry is None:
            default = next(item.default for item in fields(declaration) if item.name == "enabled")
            return bool(default)
        only = Table(entry.spot, {"enabled": entry})
        options = Binder(self._env, self._problems).group(PlatformOptions, only)
        return options is not None and options.enabled

    def _accounts(self, table: Table, accounts: Table) -> dict[str, Table]:
        shared = Table(table.spot, {key: entry for key, entry in table.entries.items() if key != "accounts"})
        help = known_keys(PlatformOptions)["accounts"]
        trees = {}
        for account, entry in accounts.entries.items():
            over = entry.value
            if _is_null(over):
                over = Table(entry.spot)
            if not _ACCOUNT.fullmatch(account):
                what = f'"{account}" cannot name an account: letters, digits, "_", "." and "-" can'
                self._problems.append(Problem(entry.spot, what, "accounts", help))
            elif not isinstance(over, Table):
                what = f'the account "{account}" is not a mapping of keys'
                self._problems.append(Problem(over.spot, what, "accounts", help))
            elif "accounts" in over.entries:
                what = "an account cannot have accounts of its own"
                self._problems.append(Problem(over.entries["accounts"].spot, what, "accounts", help))
            else:
                tree = merged(shared, over)
                trees[account] = replace(tree, spot=entry.spot)
        return trees

    def _with_access(self, name: str, tree: Table, gateway_table: Table, gateway: Gateway | None) -> Table:
        """The platform's access rules laid over gateway.yaml's, so that a child has one whole set."""
        own = tree.entries.get("access")
        if own and not isinstance(own.value, Table) and not _is_null(own.value):
            return tree  # wrong, and about to be said so
        base = gateway_table.entries.get("access")
        below = base.value if base and isinstance(base.value, Table) else Table(tree.spot)
        if name == _PAGE and gateway and is_loopback(gateway.http.host):
            word = Scalar(below.spot, "open", True)
            below = Table(below.spot, {**below.entries, "dm": Entry(below.spot, word)})
        over = own.value if own and isinstance(own.value, Table) else Table(tree.spot)
        whole = merged(below, over)
        return Table(tree.spot, {**tree.entries, "access": Entry(own.spot if own else whole.spot, whole)})

    def _checked(self, sentence: str, tree: Table, declaration: type[PlatformOptions]) -> Problem:
        """A sentence of an adapter's own check, put at the first key that it names."""
        known = known_keys(declaration)
        named = [word for word in _WORD.findall(sentence) if word in known]
        key = named[0] if named else "enabled"
        entry = tree.entries.get(key)
        return Problem(entry.spot if entry else tree.spot, sentence.rstrip("."), key, known[key])


def _authority(path: str) -> tuple[str, ...]:
    """What is wrong with a certificate authority of the user's own: told now, before a child needs it."""
    try:
        if not path or ssl.create_default_context(cafile=path).get_ca_certs():
            return ()
        why = "it holds no CA certificate"
    except OSError as error:  # ssl.SSLError is an OSError too
        why = error.strerror or str(error.args[0])
    return (f"ca_file {path} cannot be used: {why}",)
