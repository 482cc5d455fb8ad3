"""Three hundred broken configurations: each is told with its place, none is half applied, none ends in a traceback."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest

from hermes_green import blueprint, cli
from hermes_green.core.clock import ManualClock
from hermes_green.live import Live
from hermes_green.ops.notify import Notifier
from hermes_green.ops.offhub import OffHub
from hermes_green.settings.bind import known_keys
from tests.support.brokenconf import FAULTS, Broken, declarations, generated, healthy, text_of
from tests.support.stage import Gateway, Stage

COUNT, SEED = 300, 20260101
BROKEN = generated(COUNT, SEED)
TOLD = re.compile(r"(?P<file>.+\.yaml):(?P<line>\d+):(?P<column>\d+): .+; nearest known key: (?P<key>[^;]+); .+")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("broken"))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def gateway(stage: Stage) -> Gateway:
    gateway: Gateway = stage.gateway()
    gateway.until_ready()
    return gateway


def lay(conf: Path, broken: Broken) -> Path:
    """The one file of an otherwise empty directory."""
    conf.mkdir(exist_ok=True)
    for path in conf.iterdir():
        path.unlink()
    path = conf / f"{broken.file}.yaml"
    path.write_bytes(broken.data)
    return path


def told_at_its_place(broken: Broken, path: Path, sentences: list[str]) -> bool:
    """Whether one of the sentences is about the fault; all of them must have the form that is promised."""
    found = False
    for sentence in sentences:
        match = TOLD.fullmatch(sentence)
        assert match, sentence
        assert match["file"] == str(path)
        # Of a list's item or a free name there is no key of its own: the one that it belongs to is.
        assert re.sub(r"\[\d+\]", "", match["key"]) in known_keys(declarations()[broken.file]), sentence
        found = found or (
            int(match["line"]) == broken.line
            and broken.column in (None, int(match["column"]))
            and broken.nearest in (None, match["key"])
        )
    return found


def test_all_kinds_of_faults_are_there_and_what_they_are_put_into_is_healthy(tmp_path: Path) -> None:
    kinds = Counter(broken.fault for broken in BROKEN)
    assert len(BROKEN) == COUNT and len(kinds) == len(FAULTS) and min(kinds.values()) >= 27
    assert {broken.file for broken in BROKEN} == set(declarations())
    assert generated(20, SEED) == BROKEN[:20], "the same seed breaks the same"
    for number in range(40):
        rng = random.Random(number)
        file = rng.choice(list(declarations()))
        lay(tmp_path / "conf", Broken("", file, text_of(healthy(rng, file)).encode(), 0))
        blueprint.load_config(tmp_path / "conf")


class Untouched:
    """What a reload may change; a broken one may only ask how things are."""

    def summary(self) -> str:
        return ""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a broken configuration led to {name}")


def test_each_is_told_with_file_line_column_and_nearest_key_and_a_reload_with_it_changes_nothing(
    tmp_path: Path,
) -> None:
    conf = tmp_path / "conf"
    lay(conf, Broken("", "gateway", b"locale: en\n", 0))
    offhub, parts = OffHub(), Untouched()
    config = blueprint.load_config(conf)
    live = Live(config, offhub, Notifier({}), ManualClock())
    live.connect(parts, parts, parts, parts)  # type: ignore[arg-type]
    try:
        for broken in BROKEN:
            path = lay(conf, broken)
            answer = live.reload()
            assert (answer["ok"], answer["changed"], live.config) == (False, [], config), broken
            assert told_at_its_place(broken, path, answer["errors"]), (broken, answer)
            assert live.told()["config"]["errors"] == answer["errors"]
    finally:
        live.close()
        offhub.close()


@pytest.mark.parametrize("broken", BROKEN[: len(FAULTS)], ids=lambda broken: broken.fault)
def test_a_running_gateway_goes_on_with_what_it_had(stage: Stage, gateway: Gateway, broken: Broken) -> None:
    before = gateway.status()["children"]
    path = stage.conf / f"{broken.file}.yaml"
    kept = path.read_bytes() if path.exists() else None
    path.write_bytes(broken.data)
    try:
        status, answer = gateway.post("/api/reload")
    finally:
        path.unlink() if kept is None else path.write_bytes(kept)
    assert (status, answer["changed"]) == (422, []) and told_at_its_place(broken, path, answer["errors"])
    known = ("id", "state", "since", "restarts", "losses")
    after = gateway.status()["children"]
    assert [[child[key] for key in known] for child in after] == [[child[key] for key in known] for child in before]
    assert "Traceback" not in gateway.log.read_text(errors="replace")


@pytest.mark.parametrize("broken", BROKEN[: 3 * len(FAULTS)], ids=lambda broken: broken.fault)
def test_check_exits_78_and_says_the_same_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: Broken
) -> None:
    lay(tmp_path / "conf", broken)
    assert cli.main(["--conf", str(tmp_path / "conf"), "check", "--json"]) == 78
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["ok"] is False and len(told["errors"]) == len(err.splitlines()) and "Traceback" not in err
    assert all({"file", "line", "column", "what", "nearest", "help"} == set(each) for each in told["errors"])
