"""The reference is made from the declarations, and its schema takes what the loader takes."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, Mapping

import pytest
import yaml

from hermes_green import blueprint
from hermes_green.settings.bind import known_keys
from hermes_green.settings.reference import markdown, schema
from hermes_green.settings.schema import AGENTS
from tests.support.brokenconf import declarations, generated, healthy, text_of

ROOT = Path(__file__).resolve().parents[2]
KINDS: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def is_a(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def fits(value: Any, shape: Mapping[str, Any]) -> bool:
    """As much of JSON Schema as these schemas use."""
    kinds = shape.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_a(value, kind) for kind in kinds):
        return False
    if "anyOf" in shape and not any(fits(value, each) for each in shape["anyOf"]):
        return False
    if "not" in shape and fits(value, shape["not"]):
        return False
    if value not in shape.get("enum", [value]) or value != shape.get("const", value):
        return False
    if isinstance(value, str):
        return re.search(shape.get("pattern", ""), value) is not None
    if isinstance(value, (int, float)):
        return bool(shape.get("minimum", value) <= value <= shape.get("maximum", value))
    if isinstance(value, list):
        return all(fits(item, shape.get("items", {})) for item in value)
    if isinstance(value, dict):
        others = shape.get("additionalProperties", {})
        inner = {name: shape.get("properties", {}).get(name, others) for name in value}
        missing = set(shape.get("required", ())) - set(value)
        return not missing and all(each is not False and fits(value[name], each) for name, each in inner.items())
    return True


def tree(text: str) -> Any:
    """As an editor reads YAML: off and on are words, times of day too."""
    loader = yaml.BaseLoader(text)
    root = loader.get_single_node()
    return _natural(root) if root is not None else {}


def _natural(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _natural(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_natural(item) for item in node.value]
    words = {"true": True, "false": False, "null": None, "": None}
    if node.style is None and node.value in words:
        return words[node.value]
    if node.style is None and re.fullmatch(r"-?\d+(\.\d+)?", node.value):
        return float(node.value) if "." in node.value else int(node.value)
    return node.value


@pytest.mark.parametrize("name", declarations())
def test_the_shipped_files_fit_their_schemas(name: str) -> None:
    assert fits(tree((ROOT / "conf" / f"{name}.yaml").read_text()), schema(name, declarations()[name]))


@pytest.mark.thorough
def test_what_the_loader_takes_the_schema_takes() -> None:
    schemas = {name: schema(name, declared) for name, declared in declarations().items()}
    for number in range(100):
        rng = random.Random(number)
        name = rng.choice(list(schemas))
        text = text_of(healthy(rng, name))
        assert fits(tree(text), schemas[name]), text


@pytest.mark.thorough
def test_misspelt_keys_and_wrong_types_do_not_fit() -> None:
    schemas = {name: schema(name, declared) for name, declared in declarations().items()}
    for broken in generated(100, 7):
        if broken.fault == "unknown key":
            assert not fits(tree(broken.data.decode()), schemas[broken.file]), broken
    gateway = schemas["gateway"]
    assert not fits({"http": {"port": 70000}}, gateway)
    assert not fits({"agent": {"type": "openai", "modle": ""}}, gateway)
    assert not fits({"hooks": [{"run": "a:b"}]}, gateway), "an item of a list is whole"
    assert fits({"agent": {"type": "openai"}}, gateway), "the rest may stand in gateway.local.yaml"
    assert fits({"agent": {"type": "mine", "x": 1}, "fallback": None, "http": {"port": "${PORT}"}}, gateway)
    assert fits({"enabled": True, "accounts": {"a": {"token": "1:a"}, "b": None}}, schemas["telegram"])
    assert not fits({"accounts": {"a": {"tokn": "1:a"}}}, schemas["telegram"])


def leaves(declared: Any) -> Mapping[str, str]:
    """Dotted key -> help, without the groups; of an agent's keys the reference has tables of their own."""
    known = known_keys(declared)
    groups = {key.rpartition(".")[0] for key in known}
    return {k: v for k, v in known.items() if k not in groups and "type" != k.rpartition(".")[2]}


def test_every_key_stands_in_the_reference_with_its_sentence() -> None:
    text = markdown(blueprint.platforms())
    told = {key.rpartition(".")[2] for key in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)}
    for declared in (*declarations().values(), *AGENTS.values()):
        for key in leaves(declared):
            if key.partition(".")[0] not in ("agent", "fallback"):
                assert key.rpartition(".")[2] in told or ".agent." in key or ".fallback." in key, key
    assert all(line.count(" | ") == 4 for line in text.splitlines() if line.startswith("| `")), "five cells in a row"


def test_a_leaf_is_told_with_its_sentence_and_what_a_change_of_it_takes() -> None:
    text = markdown(blueprint.platforms())
    sentence = "ids of groups in which the bot answers"
    assert f"| `access.groups` | list | `[]` | at once | {sentence} |" in text
    assert "| `http.port` | whole number ≥ 0, ≤ 65535 | `8787` | needs a restart | port to listen on;" in text
    assert "| `app_secret` | secret | must be set | restarts its children | App Secret of the same app |" in text
