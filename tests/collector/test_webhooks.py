"""Deliveries are taken when their signature is right, once, however often they are sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ingest.collector.bodies import Refused
from ingest.collector.declaration import Input, Webhook
from ingest.collector.keys import Door
from ingest.collector.wecom import decrypted, encrypted, parsed_xml, signature_of
from tests.collector.running import Running

VECTORS = (
    Path(os.environ.get("CDP_SHARED_DATA", "../shared/data")).parent / "reference" / "hash_and_callback_vectors.json"
)
# wechatpy tests/test_crypto.py (MIT): what WeChat's own servers sent
TOKEN, AES_KEY, RECEIVER = "123456", "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx49f0ab532d5d035a"


def door() -> Door:
    """The door of the vectors."""
    declared = Input(name="wecom", description="d", owner="o@x.example", webhook=Webhook(verify="wecom"))
    return Door(declared, {"token": [TOKEN], "aes_key": ["A" * 43, AES_KEY], "receiver": [RECEIVER]}, frozenset())


def signed(body: bytes, signer: str = "hook-new", at: float | None = None) -> dict[str, str]:
    """Headers of the generic form."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(signer.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Timestamp": stamp, "X-Signature": f"sha256={digest}"}


def deliveries(collector: Running, mark: str) -> list[dict[str, Any]]:
    """Records whose payload has the mark."""
    return [r for r in collector.records() if "webhook" in r and mark in json.dumps(r["payload"])]


def test_the_generic_form_is_taken_once(collector: Running) -> None:
    mark = str(uuid4())
    body = json.dumps({"mark": mark, "email": "lena@example.com"}).encode()
    headers = signed(body) | {"X-Delivery-Id": f"d-{mark}", "X-Topic": "form.submitted"}
    for _ in range(2):
        assert collector.post("/v1/webhook/hooks", body, key="", headers=headers).status_code == 200
    copied = headers | {"X-Delivery-Id": "another"}
    assert collector.post("/v1/webhook/hooks", body, key="", headers=copied).status_code == 200
    resigned = signed(body, at=time.time() + 20) | {"X-Delivery-Id": f"d-{mark}"}
    assert collector.post("/v1/webhook/hooks", body, key="", headers=resigned).status_code == 200
    (kept,) = deliveries(collector, mark)
    assert (kept["source"], kept["topic"], kept["messageId"]) == ("hooks", "form.submitted", f"d-{mark}")
    old_secret = collector.post("/v1/webhook/hooks", b'{"n":2}', key="", headers=signed(b'{"n":2}', "hook-old"))
    assert old_secret.status_code == 200, "secrets are rotated: both are good for a while"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"X-Signature": "sha256=" + "0" * 64}, "invalid_signature"),
        ({"X-Signature": ""}, "invalid_signature"),
        ({"X-Signature": "sha256=é"}, "invalid_signature"),
        ({"X-Timestamp": "1"}, "stale_signature"),
        ({"X-Timestamp": "soon"}, "stale_signature"),
        ({"X-Timestamp": "9" * 12}, "stale_signature"),
    ],
)
def test_a_wrong_signature_is_refused(collector: Running, change: dict[str, str], code: str) -> None:
    body = b'{"a":1}'
    headers = {k: v.encode("utf-8") for k, v in (signed(body) | change).items()}
    answer = collector.post("/v1/webhook/hooks", body, key="", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_an_old_delivery_cannot_be_sent_again(collector: Running) -> None:
    body = b'{"a":2}'
    answer = collector.post("/v1/webhook/hooks", body, key="", headers=signed(body, at=time.time() - 301))
    assert answer.json()["code"] == "stale_signature"


def test_shopifys_deliveries(collector: Running) -> None:
    """shopify.dev/docs/apps/build/webhooks/subscribe/https: base64 of HMAC-SHA256 over the raw body."""
    mark = str(uuid4())
    body = json.dumps({"id": 820982911946154508, "email": "jon@example.com", "note": mark}).encode()
    digest = base64.b64encode(hmac.new(b"shpss_1", body, hashlib.sha256).digest()).decode()
    headers = {"X-Shopify-Hmac-Sha256": digest, "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "w1"}
    for delivery in ("w1", "w1", "w2"):
        sent = headers | {"X-Shopify-Webhook-Id": delivery}
        assert collector.post("/v1/webhook/shopify", body, key="", headers=sent).status_code == 200
    (kept,) = deliveries(collector, mark)
    assert (kept["topic"], kept["payload"]["id"]) == ("orders/create", 820982911946154508)
    changed = collector.post("/v1/webhook/shopify", body + b" ", key="", headers=headers)
    assert changed.json()["code"] == "invalid_signature"


def test_unknown_webhooks(collector: Running) -> None:
    for name in ("nobody", "web", "%2e%2e"):
        assert collector.post(f"/v1/webhook/{name}", b"{}", key="").status_code == 404
    assert httpx.get(f"{collector.url}/v1/webhook/hooks", trust_env=False).status_code == 405


def test_wecoms_own_vectors() -> None:
    if VECTORS.exists():
        given = json.loads(VECTORS.read_text(encoding="utf-8"))
        (vectors,) = [v for k, v in given.items() if k.startswith("wecom_callback")]
        assert (vectors["token"], vectors["encoding_aes_key"], vectors["corp_id"]) == (TOKEN, AES_KEY, RECEIVER)
    echostr = "4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q=="
    assert signature_of(TOKEN, "1411443780", "437374425", echostr) == "dd6b9c95b495b3f7e2901bfbc76c664930ffdb96"
    assert decrypted(door(), echostr) == "5927782489442352469"
    message = "<xml>\n<ToUserName><![CDATA[ToUser]]></ToUserName></xml>"
    assert decrypted(door(), encrypted(AES_KEY, message, RECEIVER, b"1234567890123456")) == message


@pytest.mark.parametrize("change", ["bit", "short", "empty", "receiver", "key"])
def test_what_is_not_for_us_is_not_decrypted(change: str) -> None:
    sent = {
        "bit": "B" + encrypted(AES_KEY, "m", RECEIVER, b"1" * 16)[1:],
        "short": encrypted(AES_KEY, "m", RECEIVER, b"1" * 16)[:40],
        "empty": "",
        "receiver": encrypted(AES_KEY, "m", "wx-other", b"1" * 16),
        "key": encrypted("B" * 43, "m", RECEIVER, b"1" * 16),
    }[change]
    if change == "bit":  # the first block is random padding: what it changes is behind it
        sent = sent[:30] + ("A" if sent[30] != "A" else "B") + sent[31:]
    with pytest.raises(Refused):
        decrypted(door(), sent)


def callback(token: str, encrypted_text: str, nonce: str = "n1") -> tuple[str, bytes]:
    """(query, body) of an encrypted delivery of now."""
    stamp = str(int(time.time()))
    query = f"msg_signature={signature_of(token, stamp, nonce, encrypted_text)}&timestamp={stamp}&nonce={nonce}"
    body = f"<xml><ToUserName><![CDATA[{RECEIVER}]]></ToUserName><Encrypt><![CDATA[{encrypted_text}]]></Encrypt></xml>"
    return query, body.encode()


def test_a_callback_of_wecom(collector: Running) -> None:
    mark = str(uuid4())
    message = (
        "<xml><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event>"
        "<ChangeType><![CDATA[add_external_contact]]></ChangeType><UserID><![CDATA[zhang]]></UserID>"
        f"<ExternalUserID><![CDATA[{mark}]]></ExternalUserID><CreateTime>1403610513</CreateTime></xml>"
    )
    for nonce in ("n1", "n1", "n2"):  # a copy, and the platform's own second try
        query, body = callback(TOKEN, encrypted(AES_KEY, message, RECEIVER, os.urandom(16)), nonce)
        answer = collector.post(f"/v1/webhook/wecom?{query}", body, key="")
        assert (answer.status_code, answer.text) == (200, "success")
    (kept,) = deliveries(collector, mark)
    assert kept["topic"] == "event.change_external_contact.add_external_contact"
    assert kept["payload"]["UserID"] == "zhang"
    query, body = callback("wrong", encrypted(AES_KEY, message, RECEIVER, b"1" * 16))
    assert collector.post(f"/v1/webhook/wecom?{query}", body, key="").json()["code"] == "invalid_signature"
    plain = collector.post(f"/v1/webhook/wecom?{query}", message.encode(), key="")
    assert plain.json()["code"] == "not_encrypted"


def test_the_platforms_try_of_the_address(collector: Running) -> None:
    stamp = str(int(time.time()))
    sealed_echo = encrypted(AES_KEY, "5927782489442352469", RECEIVER, os.urandom(16))
    query = {"timestamp": stamp, "nonce": "n", "echostr": sealed_echo}
    signature = {"msg_signature": signature_of(TOKEN, stamp, "n", sealed_echo)}
    answer = httpx.get(f"{collector.url}/v1/webhook/wecom", params=query | signature, trust_env=False)
    assert (answer.status_code, answer.text) == (200, "5927782489442352469")
    plain = {"timestamp": stamp, "nonce": "n", "echostr": "777", "signature": signature_of("oatoken", stamp, "n")}
    answer = httpx.get(f"{collector.url}/v1/webhook/wechat_oa", params=plain, trust_env=False)
    assert (answer.status_code, answer.text) == (200, "777")
    wrong = plain | {"signature": signature_of("guess", stamp, "n")}
    assert httpx.get(f"{collector.url}/v1/webhook/wechat_oa", params=wrong, trust_env=False).status_code == 401


def test_a_message_of_an_official_account_in_clear(collector: Running) -> None:
    stamp, mark = str(int(time.time())), str(uuid4())
    body = f"<xml><FromUserName>o_{mark}</FromUserName><MsgType>event</MsgType><Event>subscribe</Event></xml>".encode()
    query = f"signature={signature_of('oatoken', stamp, 'n')}&timestamp={stamp}&nonce=n"
    assert collector.post(f"/v1/webhook/wechat_oa?{query}", body, key="").text == "success"
    (kept,) = deliveries(collector, mark)
    assert (kept["topic"], kept["source"]) == ("event.subscribe", "wechat_oa")


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><xml><Encrypt>&b;</Encrypt></xml>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><xml/>',
        b"<xml>" * 40 + b"</xml>" * 40,
        b"<xml>" + b"<a/>" * 3000 + b"</xml>",
        b"<xml>",
        b"",
        b"\xff\xfe\x00",
        b"{}",
    ],
)
def test_hostile_xml_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parsed_xml(body)
    assert refused.value.code == "invalid_xml"


def test_lists_in_xml() -> None:
    found: Any = parsed_xml(b"<xml><Item><Id>1</Id></Item><Item><Id>2</Id></Item><Text> \xe6\x9d\xa1 </Text></xml>")
    assert found == {"Item": [{"Id": "1"}, {"Id": "2"}], "Text": "条"}
