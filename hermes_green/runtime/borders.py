"""Borders: what may come out of code that is not ours. A timeout of gevent's that it let out is no Exception,
and would end the greenlet that works for others, too; where it calls sys.exit, that would end the whole gateway."""

from __future__ import annotations

import gevent

ANYTHING: tuple[type[BaseException], ...] = (Exception, gevent.Timeout, SystemExit)
