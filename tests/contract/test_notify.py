"""What systemd hears from us, and that nobody minds when there is no systemd."""

import os
import socket

import pytest

from hermes_green.ops.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """A socket like systemd's, and the environment that names it."""
    if request.param == "abstract" and not os.path.exists("/proc/net/unix"):
        pytest.skip("abstract sockets are Linux only")
    name = str(tmp_path / "n") if request.param == "file" else f"@hermes-green-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0"))
        receiver.settimeout(60)
        yield receiver, {"NOTIFY_SOCKET": name}


def test_every_message_arrives_as_the_protocol_has_it(manager):
    receiver, env = manager
    notifier = Notifier(env)
    notifier.ready("3 of 3\nREADY")
    notifier.status("cooling down")
    notifier.watchdog()
    notifier.extend(2.5)
    notifier.stopping()
    notifier.reloading()
    said = [receiver.recv(4096).decode() for _ in range(6)]
    assert said[:5] == [
        "READY=1\nSTATUS=3 of 3 READY",
        "STATUS=cooling down",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=2500000",
        "STOPPING=1",
    ]
    assert said[5].startswith("RELOADING=1\nMONOTONIC_USEC=")
    notifier.close()


def test_once_it_stops_the_line_of_the_status_says_so_to_the_end(manager):
    receiver, env = manager
    notifier = Notifier(env)
    notifier.stopping("draining")
    notifier.status("all READY")
    notifier.extend(1)
    assert [receiver.recv(4096).decode() for _ in range(2)] == [
        "STOPPING=1\nSTATUS=draining",
        "EXTEND_TIMEOUT_USEC=1000000",
    ]
    notifier.close()


def test_without_a_manager_it_is_silent():
    notifier = Notifier({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_interval is None
    notifier.close()


def test_a_manager_that_went_away_hurts_nobody(tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.watchdog()
    notifier.close()


def test_the_watchdog_is_fed_twice_as_often_as_it_bites(tmp_path):
    env = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "30000000"}
    for more, expected in (({}, 15), ({"WATCHDOG_PID": str(os.getpid())}, 15), ({"WATCHDOG_PID": "1"}, None)):
        notifier = Notifier({**env, **more})
        assert notifier.watchdog_interval == expected
        notifier.close()
