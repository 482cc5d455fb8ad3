"""How the simulated Telegram reads formatted text: HTML and MarkdownV2 to plain text with entities.

Source: core.telegram.org/bots/api "Formatting options". Offsets and lengths are UTF-16 code units.
"""

from __future__ import annotations

import html
import re
from typing import Any

Entity = dict[str, Any]

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)((?:\s[^<>]*)?)/?>")
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*(?:=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_KINDS = {
    **{tag: "bold" for tag in ("b", "strong")},
    **{tag: "italic" for tag in ("i", "em")},
    **{tag: "underline" for tag in ("u", "ins")},
    **{tag: "strikethrough" for tag in ("s", "strike", "del")},
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
# A link elsewhere is left out, its words stay (tdlib/td LinkManager.cpp), and so are entities beyond a hundred.
_LEADS = re.compile(r"(https?://(\[|([^/?#]*@)?[^/?#@]*\.[^/?#@]*([/?#]|$))|tg:)", re.IGNORECASE)
MOST, HEAVIEST = 100, 9_500
_RESERVED = set("_*[]()~`>#+-=|{}.!")
_MARKDOWN = re.compile(
    r"\\(?P<escaped>[\x01-\x7e])|```(?P<pre>.*?)```|`(?P<code>[^`\n]*)`"
    r"|\[(?P<label>[^\]]*)\]\((?P<url>[^)]*)\)|(?P<mark>\*|__|_|~|\|\||^>)|(?P<plain>.)",
    re.DOTALL | re.MULTILINE,
)
_SPOKEN = re.compile(
    r"(?P<mention>(?<![\w@])@[A-Za-z]\w{3,31})|(?P<bot_command>(?<![\w/])/[A-Za-z]\w{0,31}(?:@\w{3,32})?)"
)


class BadMarkup(ValueError):
    """The text cannot be parsed; says why as the platform would."""


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse(text: str, mode: str) -> tuple[str, list[Entity]]:
    """Plain text and entities of ``text`` written in ``mode`` ("" is plain).

    Raises:
        BadMarkup: it is not well formed, or there is no such mode.
    """
    modes = {"": lambda raw: (raw, []), "html": _html, "markdownv2": _markdown, "markdown": _markdown}
    reader = modes.get(mode.lower())
    if reader is None:
        raise BadMarkup("unsupported parse_mode")
    plain, entities = reader(text)
    kept = plain.strip()
    lead = units(plain) - units(plain.lstrip())
    moved = [{**entity, "offset": max(0, entity["offset"] - lead)} for entity in entities if entity["length"]]
    return kept, [entity for entity in moved if _LEADS.match(entity.get("url", "https://t.me"))][:MOST]


def weight(entities: list[Entity]) -> int:
    """About how many bytes entities take on the platform's wire; 9,500 are too many, as issue 165 of
    tdlib/telegram-bot-api has it."""
    return sum(12 + len(str(entity.get("url", "")).encode()) for entity in entities)


def spoken(text: str) -> list[Entity]:
    """The entities that the platform finds by itself in what a person types."""
    return [
        {"type": match.lastgroup, "offset": units(text[: match.start()]), "length": units(match[0])}
        for match in _SPOKEN.finditer(text)
    ]


def _html(text: str) -> tuple[str, list[Entity]]:
    out: list[str] = []
    entities: list[Entity] = []
    stack: list[tuple[str, Entity]] = []
    position = length = 0
    while position < len(text):
        mark = text.find("<", position)
        piece = html.unescape(text[position : mark if mark >= 0 else len(text)])
        out.append(piece)
        length += units(piece)
        if mark < 0:
            break
        tag = _TAG.match(text, mark)
        offset = len(text[:mark].encode())
        name = tag[2].lower() if tag else ""
        if tag is None or name not in _KINDS:
            raise BadMarkup(f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {offset}')
        if tag[1]:
            if not stack or stack[-1][0] != name:
                raise BadMarkup(f"can't parse entities: Unmatched end tag at byte offset {offset}")
            entity = stack.pop()[1]
            entity["length"] = length - entity["offset"]
        else:
            entity = {"type": _KINDS[name], "offset": length, "length": 0, **_attributes(name, tag[3])}
            stack.append((name, entity))
            entities.append(entity)
        position = tag.end()
    if stack:
        raise BadMarkup(f"can't parse entities: Can't find end tag corresponding to start tag \"{stack[-1][0]}\"")
    return "".join(out), entities


def _attributes(name: str, written: str) -> Entity:
    found = {match[1]: html.unescape(match[2] or match[3] or match[4] or "") for match in _ATTRIBUTE.finditer(written)}
    if name == "a":
        return {"url": found.get("href", "")}
    if name == "code" and found.get("class", "").startswith("language-"):
        return {"language": found["class"].removeprefix("language-")}
    return {}


def _markdown(text: str) -> tuple[str, list[Entity]]:
    out: list[str] = []
    entities: list[Entity] = []
    open_marks: list[tuple[str, int]] = []
    kinds = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}
    for match in _MARKDOWN.finditer(text):
        group, begin = match.lastgroup, units("".join(out))
        if group == "mark" and match["mark"] in kinds:
            mark = match["mark"]
            if open_marks and open_marks[-1][0] == mark:
                start = open_marks.pop()[1]
                entities.append({"type": kinds[mark], "offset": start, "length": begin - start})
            else:
                open_marks.append((mark, begin))
        elif group in ("pre", "code"):
            out.append(match[group])
            entities.append({"type": group, "offset": begin, "length": units(match[group])})
        elif group == "url":
            out.append(match["label"])
            entities.append(
                {"type": "text_link", "offset": begin, "length": units(match["label"]), "url": match["url"]}
            )
        elif group == "plain" and match["plain"] in _RESERVED:
            raise BadMarkup(
                f"can't parse entities: Character '{match['plain']}' is reserved and must be escaped "
                "with the preceding '\\'"
            )
        elif group in ("plain", "escaped"):
            out.append(match[group])
    if open_marks:
        raise BadMarkup(f"can't parse entities: Can't find end of the entity starting at offset {open_marks[-1][1]}")
    return "".join(out), entities
