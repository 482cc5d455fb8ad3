"""A bot of slack_sdk, run by its own interpreter: ``slack_client.py FLAVOUR http://host:port app_token bot_token``.

The SDK is untouched; its hosts are turned to the simulator by the arguments it has for that. FLAVOUR is
``builtin`` or ``websocket_client``. Every user's message is answered with ``re: <text>`` in its thread, and
then edited; ``file`` is answered with a file; ``status`` sets the assistant's line. What happens is told on
stdout, one JSON object a line.
"""

import importlib
import json
import sys
import threading

from slack_sdk import WebClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse


def tell(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


def main() -> None:
    flavour, base, app_token, bot_token = sys.argv[1:5]
    module = importlib.import_module(f"slack_sdk.socket_mode.{flavour}")
    web = WebClient(token=bot_token, base_url=f"{base}/api/")
    me = web.auth_test()
    seen = set()

    def on_request(client, request: SocketModeRequest) -> None:  # type: ignore[no-untyped-def]
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        tell(request.type, attempt=request.retry_attempt, reason=request.retry_reason)
        if request.type != "events_api":
            return
        event = request.payload["event"]
        if event.get("bot_id") or event.get("subtype") not in (None, "file_share") or event["ts"] in seen:
            return
        seen.add(event["ts"])
        answer(web, event, me["user_id"])

    client = module.SocketModeClient(app_token=app_token, web_client=web, ping_interval=1)
    client.socket_mode_request_listeners.append(on_request)
    client.connect()
    tell("connected")
    threading.Event().wait()


def answer(web: WebClient, event: dict, me: str) -> None:
    """Reply, look the reply up, and edit it."""
    channel, text = event["channel"], event["text"].replace(f"<@{me}>", "").strip()
    thread = event.get("thread_ts")
    if text == "file":
        web.files_upload_v2(channel=channel, filename="a.txt", content="hello", thread_ts=thread)
        return
    if text == "status":
        web.assistant_threads_setStatus(channel_id=channel, thread_ts=event["ts"], status="thinks")
        return
    metadata = {"event_type": "oracle", "event_payload": {"key": event["ts"]}}
    posted = web.chat_postMessage(channel=channel, text=f"re: {text}", thread_ts=thread, metadata=metadata)
    found = web.conversations_history(channel=channel, include_all_metadata=True, limit=5)
    tell("history", keys=[each.get("metadata", {}).get("event_payload") for each in found["messages"]])
    web.chat_update(channel=posted["channel"], ts=posted["ts"], text=f"edited: {text}")


if __name__ == "__main__":
    main()
