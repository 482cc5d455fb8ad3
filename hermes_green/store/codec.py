"""How values become columns and come back: JSON for mappings, clean UTF-8 for text, never a Secret."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from hermes_green.core.model import EMPTY, Attachment, Inbound, Peer, Quote, Reaction

Row = tuple[Any, ...]


def _plain(value: object) -> dict[str, Any]:
    """What JSON does not know: read-only mappings. A Secret (or anything else) is a TypeError."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not stored")


def _encoder() -> Callable[[Any], str]:
    """ASCII only: a lone surrogate out of a platform's JSON survives the way to the disk and back.

    ``JSONEncoder.encode`` makes an encoder in C for each value, which takes as long as to use it; ours is
    made once, where there is one.
    """
    make: Callable[..., Any] | None = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=_plain).encode
    chunks = make(None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
    return lambda value: "".join(chunks(value, 0))


dumps = _encoder()
loads = json.loads


def optional(value: Any) -> str | None:
    """JSON, or NULL for None."""
    return None if value is None else dumps(value)


def parsed(value: str | None) -> Any:
    """What ``optional`` made."""
    return None if value is None else loads(value)


def clean(text: str) -> str:
    """The text as UTF-8 can carry it: a lone surrogate becomes a question mark."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def peer_json(peer: Peer) -> dict[str, Any]:
    """A peer without what its row knows already (child and chat)."""
    plain: dict[str, Any] = {"chat_type": peer.chat_type}
    if peer.thread_id is not None:
        plain["thread_id"] = peer.thread_id
    if peer.user_id is not None:
        plain["user_id"] = peer.user_id
    if peer.user_name is not None:
        plain["user_name"] = peer.user_name
    if peer.extra:
        plain["extra"] = peer.extra
    return plain


def peer_from(child: str, chat_id: str, plain: Mapping[str, Any]) -> Peer:
    """The peer that ``peer_json`` described."""
    return Peer(
        child=child,
        chat_id=chat_id,
        chat_type=plain["chat_type"],
        thread_id=plain.get("thread_id"),
        user_id=plain.get("user_id"),
        user_name=plain.get("user_name"),
        extra=plain.get("extra", EMPTY),
    )


def inbound_body(inbound: Inbound) -> str:
    """The columnless rest of a message."""
    body: dict[str, Any] = {"keys": inbound.keys, "peer": peer_json(inbound.peer)}
    if inbound.reply_ref:
        body["reply_ref"] = inbound.reply_ref
    if not inbound.mentioned:
        body["mentioned"] = False
    if inbound.attachments:
        body["attachments"] = [attachment_json(each) for each in inbound.attachments]
    if inbound.bot:
        body["bot"] = True
    if inbound.reaction is not None:
        body["reaction"] = {"emoji": inbound.reaction.emoji, "added": inbound.reaction.added}
    if inbound.quote is not None:
        body["quote"] = quote_json(inbound.quote)
    return dumps(body)


def attachment_json(each: Attachment) -> dict[str, Any]:
    """An attachment, whole."""
    return {name: getattr(each, name) for name in ("kind", "ref", "name", "mime", "size", "path")}


def quote_json(quote: Quote) -> dict[str, Any]:
    """A quotation without what it has not."""
    names = ("text", "author", "message_id", "ref", "opens", "chat_id")
    plain = {name: value for name in names if (value := getattr(quote, name))}
    if quote.attachments:
        plain["attachments"] = [attachment_json(each) for each in quote.attachments]
    return plain


def quote_from(plain: Mapping[str, Any] | None) -> Quote | None:
    """What ``quote_json`` made; rows of before have none."""
    if plain is None:
        return None
    media = tuple(Attachment(**each) for each in plain.get("attachments", ()))
    return Quote(**{**plain, "attachments": media})


def inbound_from(child: str, chat_id: str, message_id: str, text: str, body: str, sent_at: float | None) -> Inbound:
    """The message of a row."""
    plain = loads(body)
    return Inbound(
        keys=tuple(plain["keys"]),
        peer=peer_from(child, chat_id, plain["peer"]),
        message_id=message_id,
        text=text,
        attachments=tuple(Attachment(**attachment) for attachment in plain.get("attachments", ())),
        reply_ref=plain.get("reply_ref", EMPTY),
        mentioned=plain.get("mentioned", True),
        sent_at=sent_at,
        quote=quote_from(plain.get("quote")),
        bot=plain.get("bot", False),
        reaction=Reaction(**plain["reaction"]) if "reaction" in plain else None,
    )
