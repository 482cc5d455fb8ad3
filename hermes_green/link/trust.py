"""Trust: whose certificates we believe, the same for sockets and for HTTP."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache

import certifi

from hermes_green.core.errors import ConfError


def trust(ca_file: str = "") -> ssl.SSLContext:
    """A client context that checks chain and host name.

    ``ca_file`` (PEM) is the only authority believed when given. Without it the machine's own
    authorities and certifi's are. Contexts are shared until the file changes: loading one costs
    some 10 ms of the hub.

    Raises:
        ConfError: the file cannot be read or holds no certificate.
    """
    if not ca_file:
        return _context("", 0)
    try:
        stamp = os.stat(ca_file).st_mtime_ns
        return _context(ca_file, stamp)
    except OSError as error:  # ssl.SSLError is an OSError too
        raise ConfError(
            f"the certificate authority {ca_file} cannot be used: {error.strerror or error.args[0]}",
            code="ca_file",
            action="Set ca_file to a readable PEM file, or leave it empty.",
        ) from None


@lru_cache(maxsize=32)
def _context(ca_file: str, stamp: int) -> ssl.SSLContext:
    if ca_file:
        context = ssl.create_default_context(cafile=ca_file)
        if not context.get_ca_certs():
            raise OSError(0, "it holds no CA certificate")
        return context
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return context
