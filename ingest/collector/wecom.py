"""Callbacks of WeCom and of WeChat official accounts: signature, AES, echo, XML.

Contract: developer.work.weixin.qq.com/document/path/90968 (WeCom) and the same scheme of WeChat's safe mode. signature =
SHA-1 of the sorted texts of token, timestamp, nonce (and the encrypted text, in AES mode), one after another. AES-256-CBC,
key = base64 of the EncodingAESKey and "=", the vector its first 16 bytes; plain text = 16 random bytes, length (4 bytes, big
endian), message, receiver (corp id or app id), padded to 32 bytes (PKCS#7).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.parsers import expat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ingest.collector.bodies import Refused
from ingest.collector.keys import Door
from ingest.collector.webhooks import Proof, check_age

_BLOCK = 32
MAX_ELEMENTS = 2000


@dataclass(frozen=True)
class Callback:
    """What the platform is asked with: GET to try the address (`echo` is the answer), POST to deliver."""

    proof: Proof
    payload: Any


def echo(door: Door, query: Mapping[str, str], now: datetime) -> str:
    """The answer to the platform's test of the address. Raises Refused."""
    check_age(door, query.get("timestamp", "").encode(), now)
    written = query.get("echostr", "")
    if "msg_signature" in query:
        _check(door, query["msg_signature"], query, written)
        return decrypted(door, written)
    _check(door, query.get("signature", ""), query)
    return written


def delivered(door: Door, query: Mapping[str, str], body: bytes, now: datetime) -> Callback:
    """A delivery, verified and decrypted. Raises Refused.

    WeChat may send in clear, when its account is set so (signature without the body); WeCom always encrypts.
    """
    check_age(door, query.get("timestamp", "").encode(), now)
    outer = parsed_xml(body)
    encrypted = outer.get("Encrypt") if isinstance(outer, dict) else None
    if isinstance(encrypted, str):
        signature = query.get("msg_signature", "")
        _check(door, signature, query, encrypted)
        payload = parsed_xml(decrypted(door, encrypted).encode())
    elif door.input.webhook and door.input.webhook.verify == "wechat":
        signature = query.get("signature", "")
        _check(door, signature, query)
        payload = outer
    else:
        raise Refused(400, "not_encrypted", "the element Encrypt is missing")
    if not isinstance(payload, dict):
        raise Refused(400, "invalid_xml", "a delivery is an element with others in it")
    # what the platform sends again has the same message; events have no MsgId: their own fields tell them apart
    told = payload.get("MsgId") or hashlib.sha256(repr(sorted(payload.items())).encode()).hexdigest()[:32]
    topic = ".".join(str(payload[k]) for k in ("MsgType", "Event", "ChangeType") if payload.get(k))
    return Callback(Proof(str(told)[:200], f"{signature}.{query.get('nonce', '')[:64]}", topic[:200] or None), payload)


def decrypted(door: Door, text: str) -> str:
    """The message in an encrypted text that is meant for us. Raises Refused."""
    for aes_key in door.secrets["aes_key"]:
        found = _decrypt(aes_key, text)
        if found and found[1] in door.secrets["receiver"]:
            return found[0]
    raise Refused(400, "cannot_decrypt", "the message is not encrypted with this key for this receiver")


def encrypted(aes_key: str, message: str, receiver: str, random: bytes) -> str:
    """The reverse of `decrypted`, as the platform does it; `random` are 16 bytes."""
    data = random + struct.pack(">I", len(message.encode())) + message.encode() + receiver.encode()
    fill = _BLOCK - len(data) % _BLOCK
    key = base64.b64decode(aes_key + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(data + bytes([fill]) * fill) + encryptor.finalize()).decode()


def signature_of(token: str, timestamp: str, nonce: str, *encrypted_text: str) -> str:
    """The signature of a call."""
    joined = "".join(sorted([token, timestamp, nonce, *encrypted_text]))
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()


def parsed_xml(body: bytes) -> Any:
    """XML as {name: text or object}; elements of one name become a list. Raises Refused.

    Document types are refused, and with them all entities: nothing can grow, nothing is fetched.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    stack: list[tuple[str, dict[str, Any], list[str]]] = [("", {}, [])]
    count = 0

    def start(name: str, _: Any) -> None:
        nonlocal count
        count += 1
        if count > MAX_ELEMENTS or len(stack) > 32:
            raise Refused(400, "invalid_xml", "too many elements")
        stack.append((name, {}, []))

    def end(_: str) -> None:
        name, children, texts = stack.pop()
        value: Any = children or "".join(texts).strip()
        parent = stack[-1][1]
        if name in parent:
            known = parent[name]
            parent[name] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            parent[name] = value

    def doctype(*_: Any) -> None:
        raise Refused(400, "invalid_xml", "document types are not taken")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: stack[-1][2].append(text)
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError):
        raise Refused(400, "invalid_xml", "the body is not XML") from None
    return next(iter(stack[0][1].values()), None)


def _check(door: Door, signature: str, query: Mapping[str, str], *encrypted_text: str) -> None:
    expected = [
        signature_of(token, query.get("timestamp", ""), query.get("nonce", ""), *encrypted_text)
        for token in door.secrets["token"]
    ]
    if not any(hmac.compare_digest(e.encode(), signature.encode("utf-8", "replace")) for e in expected):
        raise Refused(401, "invalid_signature", "the signature is not that of the token, the time and the nonce")


def _decrypt(aes_key: str, text: str) -> tuple[str, str] | None:
    """(message, receiver), or None."""
    try:
        key = base64.b64decode(aes_key + "=")
        data = base64.b64decode(text, validate=True)
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        plain = decryptor.update(data) + decryptor.finalize()
        fill = plain[-1]
        if not 1 <= fill <= _BLOCK or plain[-fill:] != bytes([fill]) * fill:
            return None
        content = plain[16:-fill]
        (length,) = struct.unpack(">I", content[:4])
        return content[4 : 4 + length].decode(), content[4 + length :].decode()
    except (binascii.Error, ValueError, IndexError, struct.error):
        return None
