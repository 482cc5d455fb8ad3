"""The log: one place, no secrets, standard output left alone."""

import json
import logging
import os
import warnings

import gevent
import pytest
from loguru import logger

from hermes_green import blueprint
from hermes_green.core.model import Secret
from hermes_green.ops import log, repeats

SECRET = 'hunter2 "quoted"/slash'


@pytest.fixture
def setup(monkeypatch):
    monkeypatch.setattr(log, "redact", log.Redactor())
    hub = gevent.get_hub()
    yield log.setup
    logger.remove()
    log._sinks.clear()
    logger.configure(patcher=None)
    logging.basicConfig(handlers=[], force=True)
    logging.captureWarnings(False)
    hub.__dict__.pop("print_exception", None)
    monkeypatch.undo()


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    import sys

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def test_lines_go_to_standard_error_and_never_to_standard_output(setup, capsys):
    setup()
    logger.info("hello {}", "world")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" INFO    hello world\n")


def test_a_secret_is_hidden_in_message_extra_and_traceback(setup, capsys):
    setup(secrets=[Secret(SECRET), Secret("")])

    def fail():
        raise ValueError(f"bad {SECRET}")

    logger.bind(key=SECRET).warning("using {}", SECRET)
    logger.warning("as json {} and in an address {}", json.dumps(SECRET), "hunter2%20%22quoted%22%2Fslash")
    try:
        fail()
    except ValueError:
        logger.exception("it failed")
    err = capsys.readouterr().err
    assert "hunter2" not in err
    assert "ValueError: bad ***" in err
    assert "in fail" in err


def test_values_of_variables_stay_out_of_tracebacks(setup, capsys):
    setup()
    private = "chat text nobody asked to log"
    try:
        len(private) / 0
    except ZeroDivisionError:
        logger.exception("it failed")
    assert "nobody asked" not in capsys.readouterr().err


def test_json_lines_are_whole_and_hide_secrets_too(setup, capsys):
    setup(format="json", secrets=[Secret(SECRET)])
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.bind(child="web").exception("failed with {}", SECRET)
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "ERROR"
    assert line["message"] == "failed with ***"
    assert line["child"] == "web"
    assert line["exception"].endswith("ValueError: ***")


def test_the_keys_of_all_agents_are_hidden_those_of_routes_and_their_fallbacks_too(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "redact", log.Redactor())
    agent = {"type": "openai", "base_url": "http://h", "model": "m"}
    keys = ["first-key-0001", "second-key-0002", "third-key-0003", "fourth-key-0004"]
    one, two, three, four = ({**agent, "api_key": key} for key in keys)
    file = {"agent": one, "fallback": two, "routes": [{"child": "web", "agent": three, "fallback": four}]}
    (tmp_path / "gateway.yaml").write_text(json.dumps(file))
    blueprint.hide_secrets(blueprint.load_config(tmp_path))
    assert log.redact(" ".join(keys)) == "*** *** *** ***"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("https://host/robot/sendBySession?session=abc&x=1", "https://host/robot/sendBySession?session=***&x=1"),
        ("wss://host/ws?device_id=1&access_key=abc&ticket=t-1", "wss://host/ws?device_id=1&access_key=***&ticket=***"),
        ("GET https://host/x?access_token=abc#y", "GET https://host/x?access_token=***#y"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("authorization: Bot abc", "authorization: Bot ***"),
        ("monkey=1 and keyboard?layout=de", "monkey=1 and keyboard?layout=de"),
    ],
)
def test_tickets_in_addresses_and_headers_are_hidden_unannounced(text, shown):
    assert log.Redactor()(text) == shown


def test_short_lived_tokens_are_hidden_and_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(log, "MAX_TOKENS", 40)
    redact = log.Redactor()
    redact.add(["the-fixed-one"])
    for n in range(log.MAX_TOKENS + 1):
        redact.add([f"token-{n:04}"], short_lived=True)
    assert redact("token-0040 the-fixed-one") == "*** ***"
    assert redact("token-0000") == "token-0000"


def test_a_secret_within_a_longer_one_does_not_uncover_the_rest():
    redact = log.Redactor()
    redact.add(["abcd", "abcdefgh"])
    assert redact("abcdefgh") == "***"


def test_the_level_can_change_while_running(setup, capsys):
    setup(level="info")
    logger.debug("one")
    log.set_level("DEBUG")
    logger.debug("two")
    log.set_level("ERROR")
    logger.warning("three")
    err = capsys.readouterr().err
    assert "one" not in err and "two" in err and "three" not in err
    assert err.count("two") == 1


def test_a_pipe_takes_the_log_and_is_not_rotated(setup, capsys, tmp_path):
    """Such as /dev/stdout in a container: what cannot be sought was refused line by line, with a stack for each."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        setup(file=str(tmp_path / "pipe"), max_mb=0.00001)
        logger.info("one")
        logger.info("two")
        told = os.read(reader, 4096).decode()
        assert "one" in told and "two" in told and "Logging error" not in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    finally:
        os.close(reader)


def test_libraries_log_here_and_only_what_matters(setup, capsys):
    setup(secrets=[Secret(SECRET)])
    logging.getLogger("some.sdk").info("chatter")
    logging.getLogger("some.sdk").error("100%% {broken} %s", SECRET)
    warnings.warn("old fashioned")
    err = capsys.readouterr().err
    assert "chatter" not in err
    assert "{broken} ***" in err
    assert "old fashioned" in err


def test_a_library_with_handlers_of_its_own_is_brought_into_line(setup, capsys):
    import sys

    theirs = logging.getLogger("talkative")
    theirs.addHandler(logging.StreamHandler(sys.stdout))
    theirs.setLevel(logging.DEBUG)
    setup()
    log.route_stdlib(names=["talkative"])
    theirs.debug("chatter")
    theirs.error("real")
    out, err = capsys.readouterr()
    assert out == ""
    assert "chatter" not in err and err.count("real") == 1


def test_a_greenlet_that_dies_alone_is_logged_without_its_secrets(setup, capsys):
    setup(secrets=[Secret(SECRET)])

    def die():
        raise RuntimeError(SECRET)

    gevent.spawn(die).join()
    gevent.sleep(0)
    err = capsys.readouterr().err
    assert "unhandled in" in err and "RuntimeError: ***" in err and "hunter2" not in err


def test_a_value_that_cannot_be_shown_does_not_fail_the_code_that_logs_it(setup, capsys):
    class Rude:
        def __str__(self):
            raise RuntimeError

    setup()
    logger.bind(x=Rude()).info("hello")
    assert "could not be rendered" in capsys.readouterr().err


def test_the_file_is_private_and_rotates(setup, tmp_path):
    setup(file=str(tmp_path / "logs" / "g.log"), max_mb=0.002, keep=2)
    for n in range(200):
        logger.info("line {} {}", n, "x" * 50)
    files = sorted((tmp_path / "logs").iterdir())
    assert 2 <= len(files) <= 3
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert "line 199" in (tmp_path / "logs" / "g.log").read_text()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(log, "_repeats", repeats.Repeats(clock))
    return clock


def test_equal_errors_are_written_once_and_counted(setup, capsys, clock):
    setup()
    for child in ("web", "web", "qq"):
        for _ in range(10):
            logger.bind(child=child).error("the disk is full")
    logger.error("another")
    err = capsys.readouterr().err
    assert err.count("the disk is full") == 2 and err.count("another") == 1
    log.tell_repeats()
    assert capsys.readouterr().err == ""
    clock.now += repeats.WINDOW
    log.tell_repeats()
    lines = capsys.readouterr().err.splitlines()
    assert "the same 19 times more: web: the disk is full" in lines[0] and "9 times more: qq:" in lines[1]
    logger.bind(child="web").error("the disk is full")
    assert "the disk is full" in capsys.readouterr().err


def test_an_error_that_comes_once_a_window_is_written_each_time(setup, capsys, clock):
    setup()
    for seconds in (repeats.WINDOW, repeats.WINDOW, repeats.WINDOW - 1, 0):
        logger.error("the disk is full")
        clock.now += seconds
    assert capsys.readouterr().err.count("the disk is full") == 3


def test_what_was_counted_is_told_at_the_end_at_the_latest(setup, capsys, clock):
    setup()
    for _ in range(3):
        logger.error("the disk is full")
    log.tell_repeats(at_once=True)
    assert "the same 2 times more: the disk is full" in capsys.readouterr().err
    log.tell_repeats(at_once=True)
    assert capsys.readouterr().err == ""


def test_errors_that_differ_in_their_cause_are_all_written(setup, capsys, clock):
    setup()
    for number in range(3):
        try:
            raise ValueError(number)
        except ValueError:
            logger.exception("it crashed")
    assert capsys.readouterr().err.count("it crashed") == 3


def test_warnings_and_less_are_never_held_back(setup, capsys, clock):
    setup()
    for _ in range(5):
        logger.warning("READY -> WAITING")
    assert capsys.readouterr().err.count("WAITING") == 5


def test_a_library_may_write_only_so_many_lines(setup, capsys, clock):
    setup()
    theirs = logging.getLogger("noisy.package")
    for number in range(500):
        theirs.warning("retrying %s", number)
    err = capsys.readouterr().err
    assert err.count("retrying") == repeats.PER_LIBRARY
    clock.now += repeats.WINDOW
    log.tell_repeats()
    assert f"the same {500 - repeats.PER_LIBRARY} times more: lines of noisy.package" in capsys.readouterr().err


def test_what_is_remembered_of_errors_is_bounded(clock):
    seen = repeats.Repeats(clock)
    for number in range(repeats.KEYS * 2):
        assert seen.passes(number, "x")
    assert len(seen._seen) == repeats.KEYS
