"""Robot messages become neutral ones, whatever their kind, and agree with what the SDK reads in them."""

import json
import random
import subprocess
import sys

import pytest

from hermes_green.adapters.dingtalk.parse import parse
from hermes_green.core.errors import BadFrame
from hermes_green.core.model import Quote

# As captured from the Stream mode, with ids shortened.
TEXT = {
    "chatbotCorpId": "ding9f50",
    "chatbotUserId": "$:LWCP_v1:$robot",
    "conversationId": "cidh6x==",
    "conversationType": "1",
    "createAt": 1774080994334,
    "isAdmin": False,
    "msgId": "msgBjXR==",
    "msgtype": "text",
    "openThreadId": "cidh6x==",
    "robotCode": "dingf0apw",
    "senderCorpId": "ding9f50",
    "senderId": "$:LWCP_v1:$alice",
    "senderNick": "Alice",
    "senderPlatform": "Mac",
    "senderStaffId": "0326",
    "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=3dc99",
    "sessionWebhookExpiredTime": 1774086394522,
    "text": {"content": "hello"},
}


def said(**changed):
    return {name: value for name, value in {**TEXT, **changed}.items() if value is not None}


def group(**changed):
    users = [{"dingtalkId": "$:LWCP_v1:$robot"}]
    return said(
        **{
            "conversationType": "2",
            "conversationTitle": "Team",
            "isInAtList": True,
            "atUsers": users,
            "text": {"content": " hello"},
            **changed,
        }
    )


def media(msgtype, **content):
    return said(msgtype=msgtype, text=None, content=content)


def test_a_direct_message_is_read_whole():
    inbound = parse(TEXT, child="d")
    assert (inbound.text, inbound.keys, inbound.message_id) == ("hello", ("msgBjXR==",), "msgBjXR==")
    peer = inbound.peer
    assert (peer.child, peer.chat_id, peer.chat_type, peer.user_id, peer.user_name) == (
        "d",
        "cidh6x==",
        "dm",
        "0326",
        "Alice",
    )
    assert inbound.mentioned and inbound.sent_at == 1774080994.334
    assert inbound.reply_ref == {
        "message_id": "msgBjXR==",
        "conversation": "cidh6x==",
        "webhook": "https://oapi.dingtalk.com/robot/sendBySession?session=3dc99",
        "until": 1774086394.522,
        "staff": "0326",
        "robot": "dingf0apw",
    }


def test_a_group_s_message_loses_the_blank_of_its_mention():
    inbound = parse(group(), child="d")
    assert (inbound.text, inbound.peer.chat_type, inbound.mentioned) == ("hello", "group", True)


@pytest.mark.parametrize(
    "changed, mentioned",
    [
        ({"isInAtList": False}, False),
        ({"isInAtList": None}, True),
        ({"isInAtList": None, "atUsers": []}, False),
        ({"isInAtList": None, "atUsers": [{"dingtalkId": "$:LWCP_v1:$bob", "staffId": "7"}]}, False),
        ({"isInAtList": None, "atUsers": None}, True),
        ({"isInAtList": "yes", "atUsers": "all"}, True),
    ],
)
def test_who_is_addressed_in_a_group_is_told_by_the_platform(changed, mentioned):
    assert parse(group(**changed), child="d").mentioned is mentioned


def test_a_user_without_a_staff_id_is_known_by_the_sender_s():
    inbound = parse(said(senderStaffId=None), child="d")
    assert inbound.peer.user_id == "$:LWCP_v1:$alice" and "staff" not in inbound.reply_ref


def test_our_own_words_are_not_for_us():
    assert parse(said(senderId=TEXT["chatbotUserId"]), child="d") is None


@pytest.mark.parametrize(
    "data, text, kind, name",
    [
        (media("picture", downloadCode="c", pictureDownloadCode="p"), "[image]", "image", ""),
        (media("picture", pictureDownloadCode="c"), "[image]", "image", ""),
        (media("audio", downloadCode="c", duration=4000, recognition=" speech text "), "speech text", "audio", ""),
        (media("audio", downloadCode="c", duration=4000), "[audio]", "audio", ""),
        (media("video", downloadCode="c", duration=4000, videoType="mp4"), "[video]", "video", ""),
        (media("file", downloadCode="c", fileName="a.pdf", fileId="1", spaceId="2"), "[file: a.pdf]", "file", "a.pdf"),
    ],
)
def test_media_is_words_and_an_attachment(data, text, kind, name):
    inbound = parse(data, child="d")
    (item,) = inbound.attachments
    assert (inbound.text, item.kind, item.name) == (text, kind, name)
    assert item.ref == {"code": "c", "robot": "dingf0apw"}


def test_rich_text_keeps_the_order_of_its_pieces():
    pieces = [{"type": "picture", "downloadCode": "1"}, {"text": "\n"}, {"text": "abc"}, {"downloadCode": "2"}, 7]
    inbound = parse(said(msgtype="richText", text=None, content={"richText": pieces}), child="d")
    assert inbound.text == "[image]\nabc[image]"
    assert [item.ref["code"] for item in inbound.attachments] == ["1", "2"]


def test_a_piece_of_a_kind_that_nobody_knows_yet_is_named_in_its_place():
    pieces = [{"text": "see "}, {"type": "hologram", "x": 1}, {"type": "text", "text": ""}, {"text": " here"}]
    inbound = parse(said(msgtype="richText", text=None, content={"richText": pieces}), child="d")
    assert inbound.text == "see [hologram] here"


def test_a_kind_that_nobody_knows_yet_is_named():
    inbound = parse(media("hologram", x=1), child="d")
    assert (inbound.text, inbound.strange) == ("[hologram]", "hologram")
    assert parse(media("file", fileName="a"), child="d").strange == parse(said(), child="d").strange == ""


def test_a_quoted_message_comes_with_the_answer_to_it():
    replied = {"msgId": "m0", "content": {"text": "one\ntwo"}}
    inbound = parse(said(text={"content": "and this?", "isReplyMsg": True, "repliedMsg": replied}), child="d")
    assert (inbound.text, inbound.quote) == ("and this?", Quote("one\ntwo", message_id="m0"))
    picture = {"msgType": "picture", "content": {"downloadCode": "c1"}}
    inbound = parse(said(text={"content": "what is it?", "repliedMsg": picture}), child="d")
    assert inbound.quote.text == "[image]" and inbound.quote.attachments[0].ref["code"] == "c1"
    for odd in (7, {}, {"content": {}}, {"content": 7, "msgType": 7}, {"msgType": "text", "content": {"text": {}}}):
        assert parse(said(text={"content": "x", "repliedMsg": odd}), child="d").quote is None


def test_half_a_surrogate_pair_can_be_stored():
    inbound = parse(json.loads(json.dumps(said(text={"content": "\ud800!"}))), child="d")
    assert inbound.text.encode() == b"?!"


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, said(msgId=None), said(conversationId=7), said(msgtype=None), said(msgId="")]
)
def test_what_is_no_message_is_a_bad_frame(data):
    with pytest.raises(BadFrame):
        parse(data, child="d")


def test_times_that_make_no_sense_are_unsaid():
    inbound = parse(said(createAt=True, sessionWebhookExpiredTime="soon"), child="d")
    assert inbound.sent_at is None and "until" not in inbound.reply_ref


@pytest.mark.thorough
def test_mutated_messages_never_raise_anything_but_bad_frame():
    draw = random.Random(5)
    strange = [None, 7, -1.5, True, "", "x" * 3, [], [7], {}, {"text": 7}, {"richText": {}}, "\ud800", [[]]]
    strange += [{"content": []}, {"content": {"text": 7}}, {"repliedMsg": {"content": 7}}]
    samples = [TEXT, group(), media("audio", downloadCode="c"), media("richText", richText=[{"text": "a"}])]
    for _ in range(20_000):
        data = dict(draw.choice(samples))
        for name in draw.sample(sorted(data), draw.randint(1, 5)):
            data[name] = draw.choice(strange)
        try:
            inbound = parse(data, child="d")
        except BadFrame:
            continue
        if inbound is not None:
            json.dumps([inbound.text, dict(inbound.reply_ref)], ensure_ascii=False).encode()


@pytest.mark.thorough
def test_the_sdk_reads_the_same_in_the_same_messages():
    samples = [
        TEXT,
        group(),
        media("picture", downloadCode="c"),
        media("richText", richText=[{"text": "a"}, {"downloadCode": "c"}, {"text": "b"}]),
    ]
    code = (
        "import json, sys\n"
        "from dingtalk_stream import ChatbotMessage\n"
        "for data in json.load(sys.stdin):\n"
        "    m = ChatbotMessage.from_dict(data)\n"
        "    print(json.dumps([m.message_id, m.conversation_id, m.sender_staff_id, m.robot_code, m.session_webhook,\n"
        "        m.session_webhook_expired_time, m.get_text_list() or [], m.get_image_list() or []]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(samples), capture_output=True, text=True, check=True, timeout=60
    )
    for data, line in zip(samples, done.stdout.splitlines(), strict=True):
        id, chat, staff, robot, webhook, until, texts, images = json.loads(line)
        inbound = parse(data, child="d")
        ref = inbound.reply_ref
        assert (inbound.message_id, inbound.peer.chat_id, ref["staff"], ref["robot"]) == (id, chat, staff, robot)
        assert (ref["webhook"], ref["until"]) == (webhook, until / 1000)
        assert inbound.text.replace("[image]", "") == "".join(texts).strip()
        assert [item.ref["code"] for item in inbound.attachments] == images
