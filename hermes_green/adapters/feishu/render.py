"""From a reply's text to message bodies that fit; pure.

Plain text goes as ``text``, Markdown as ``post`` with ``md`` rows, which every client shows and the
platform lets us edit later. Cards are not used for finished answers: one with too many tables or
elements is refused as a whole.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Mapping

from hermes_green.core.model import Reply, Unit
from hermes_green.core.text import split

# The platform takes 150 KB of text and 30 KB of post, counted in bytes of the expanded content. A
# third is kept back, because what it counts as expansion is not published in full.
TEXT_LIMIT = 100_000
POST_LIMIT = 20_000

_MARKDOWN = re.compile(
    r"""^(?:\#{1,6}\ \S          # heading
        |\s{0,3}[-*+]\ \S        # list
        |\s{0,3}\d{1,3}[.)]\ \S  # numbered list
        |\s{0,3}>\ ?\S           # quote
        |\s{0,3}```              # fence
        |\s{0,3}~~~              # fence
        |\s{0,3}\|.*\|\s*$       # table
        |\s{0,3}(?:---+|\*\*\*+)\s*$)
    |\*\*\S(?:.*?\S)?\*\*        # bold
    |__\S(?:.*?\S)?__
    |~~\S(?:.*?\S)?~~            # struck
    |`[^`\n]+`                   # code
    |!?\[[^\]\n]+\]\([^)\s]+\)   # link, image
    """,
    re.MULTILINE | re.VERBOSE,
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}#{1,6} +(.+?)(?: +#+)?$")
_TABLE_ROW = re.compile(r"^ {0,3}\|.*\|\s*$")
_AT = re.compile(r"<(?=/?at\b)", re.IGNORECASE)


def render(reply: Reply) -> tuple[Mapping[str, Any], ...]:
    """The payloads of a reply, in order: ``{"text": ..., "markdown": bool}``, at least one."""
    text = storable(reply.text)
    markdown = bool(_MARKDOWN.search(text))
    # Prose grows by a few per cent when it is rendered; the first cut leaves room for that.
    pieces = list(_pieces(text, markdown, (POST_LIMIT if markdown else TEXT_LIMIT) * 19 // 20))
    return tuple({"text": piece, "markdown": markdown} for piece in pieces or [text])


def body_of(payload: Mapping[str, Any], plain: bool = False) -> tuple[str, str]:
    """``msg_type`` and ``content`` (a JSON string) for a payload; ``plain`` forces text."""
    text = str(payload.get("text", ""))
    if payload.get("markdown") and not plain:
        rows = [[{"tag": "md", "text": row}] for row in _rows(_disarm(text))]
        return "post", _json({"zh_cn": {"title": "", "content": rows}})
    return "text", _json({"text": _disarm(text)})


def size_of(text: str, markdown: bool) -> int:
    """Bytes of the text's content as it stands in a request's body: a JSON string in JSON."""
    content = body_of({"text": text, "markdown": markdown})[1]
    return len(_json(content).encode())


def storable(text: str) -> str:
    """Half a surrogate pair, which some model APIs emit at a token's border, has no UTF-8 form."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _pieces(text: str, markdown: bool, limit: int) -> Iterator[str]:
    """Split so that every piece fits *after* rendering, escapes included."""
    whole = POST_LIMIT if markdown else TEXT_LIMIT
    if size_of(text, markdown) <= whole:
        yield text
        return
    for piece in split(text, limit, Unit.BYTES):
        if size_of(piece, markdown) <= whole:
            yield piece
        else:  # rich in quotes, line ends or tags: these grow when rendered
            yield from _pieces(piece, markdown, limit // 2)


def _rows(text: str) -> list[str]:
    """The ``md`` rows of a post. Code gets a row of its own: clients may swallow what follows it in
    the same row (lark-oapi 1.7.5 ``channel/outbound/markdown/to_post.py``). What ``md`` does not know
    becomes what it knows: headings bold, tables code."""
    rows: list[str] = []
    block: list[str] = []
    kind = fence = ""

    def flush() -> None:
        body = "\n".join(["```", *block, "```"] if kind == "table" else block)
        if body.strip():
            rows.append(body.strip("\n"))
        block.clear()

    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if kind == "fence":
            block.append(line)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                flush()
                kind = ""
            continue
        now = "fence" if mark else "table" if _TABLE_ROW.match(line) else "prose"
        if now != kind:
            flush()
            kind, fence = now, mark[1] if mark else ""
        heading = _HEADING.match(line) if now == "prose" else None
        block.append("**" + heading[1].replace("**", "") + "**" if heading else line)
    flush()
    return rows or [" "]


def _disarm(text: str) -> str:
    """An ``<at>`` tag in an agent's words must not call a whole room: nobody checked who asked."""
    return _AT.sub("<\u200b", text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
