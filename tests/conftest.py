"""Every test runs as the gateway does: patched before anything else is imported."""

from gevent import monkey

monkey.patch_all()
