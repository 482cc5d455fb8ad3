"""Prepare: a request made ready to leave, by the short way where nothing of it needs quoting or a form.

What requests does for any address and any body costs as much as sending; a reply leaves with an address of
ours, a body of bytes and a few headers.
"""

from __future__ import annotations

import json as jsonlib
import re
from typing import Any, Mapping
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity, default_headers

# A path that is the same after quoting.
_PLAIN = re.compile(r"[A-Za-z0-9._~/:@!$&'()*+,;=-]*(?:%[0-9A-F]{2}[A-Za-z0-9._~/:@!$&'()*+,;=-]*)*")


class Prepared(requests.PreparedRequest):
    """A request ready to leave. Where it went the short way: ``root``, which stands for its origin, and
    ``target``, what its first line asks for."""

    root = ""
    target = ""


class Preparer:
    """Requests below ``base`` with ``headers`` of their own; addresses that begin with http are whole."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self._base = base.rstrip("/")
        self._headers: CaseInsensitiveDict[str] = default_headers()
        self._headers.update(headers)
        self._root = _normal(self._base, self._headers)
        self._path = urlsplit(self._root).path

    def prepare(
        self,
        method: str,
        address: str,
        *,
        json: Any = None,
        data: Any = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Prepared:
        """Raises what ``requests.PreparedRequest.prepare`` raises."""
        prepared = Prepared()
        plain = not (files or params) and (data is None or (isinstance(data, bytes) and json is None))
        whole = address.startswith(("http://", "https://"))
        path = address.lstrip("/")
        if not (plain and self._root) or whole or not _PLAIN.fullmatch(path):
            url = address if whole else f"{self._base}/{path}"
            merged = {**self._headers, **(headers or {})}
            prepared.prepare(method, url, merged, files or [], data or [], params or {}, json=json)
            return prepared
        prepared.method = method
        prepared.root, prepared.target = self._root, f"{self._path}/{path}"
        prepared.url = f"{self._root}/{path}"
        prepared.headers = self._headers.copy()
        for name, value in (headers or {}).items():
            check_header_validity((name, value))
            prepared.headers[name] = value
        if json is not None:
            data = jsonlib.dumps(json, allow_nan=False).encode()
            prepared.headers.setdefault("Content-Type", "application/json")
        prepared.body = data
        if data is not None or method not in ("GET", "HEAD"):
            prepared.headers["Content-Length"] = str(len(data or b""))
        return prepared


def _normal(base: str, headers: Mapping[str, str]) -> str:
    """``base`` as requests writes it; "" where there is no short way: it is none or has more than an origin
    and a path, or the headers cannot be."""
    probe = requests.PreparedRequest()
    try:
        probe.prepare_url(f"{base}/", None)
        probe.prepare_headers(headers)
    except (requests.RequestException, UnicodeError):
        return ""
    url = str(probe.url)
    return "" if "?" in url or "#" in url or "@" in url else url.rstrip("/")
