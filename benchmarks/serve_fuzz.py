"""Requests that nobody should send, and a few that only look so; the same ones for the same seed."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

REFUSED, FINE = "4xx", "200"
TEXT, NUMBER = "cust_person_id", "revenue"  # columns of the default feature config
LIMIT = 1 << 20
NOT_A_TEXT: list[Any] = [7, 0.5, True, [], ["7"], {}, {"a": 1}, -1, 1 << 70]
NOT_A_NUMBER: list[Any] = ["7", "", True, [], [1.0], {}, 1e39, -1e300, 1 << 140]
NOT_AN_ID: list[Any] = ["7", 0.5, True, None, [], {}, 1 << 63, -(1 << 63) - 1, 1e20]
NOT_A_K: list[Any] = [0, -1, 1 << 31, 1 << 63, 1 << 70, 1e9, 0.5, "10", True, [], {}, 100_000]


class Request(NamedTuple):
    """The bytes to send, what should come of them, and the kind of mischief."""

    raw: bytes
    expected: str
    kind: str


Made = tuple[bytes, str]
Maker = Callable[[random.Random], Made]


def requests(count: int, seed: int, route: str = "/predict") -> Iterator[Request]:
    """As many malformed requests, of every kind in turn, and among them some that only look so and must be answered."""
    chance = random.Random(seed)  # noqa: S311  reproducible, not secret
    for number in range(count):
        makers = [MAKERS[number % len(MAKERS)]] + ([only_looks_wrong] if number % len(MAKERS) == 0 else [])
        for maker in makers:
            raw, expected = maker(chance)
            yield Request(raw.replace(b"ROUTE", route.encode(), 1), expected, maker.__name__)


def post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = ["POST ROUTE HTTP/1.1", "Host: shop", f"Content-Length: {size}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def ask(instances: Any, **further: Any) -> bytes:
    return json.dumps({"instances": instances, **further}).encode()


def instance(chance: random.Random) -> dict[str, Any]:
    return {TEXT: str(chance.randrange(3000)), NUMBER: round(chance.uniform(0, 5000), 2), "k": chance.randint(1, 20)}


def wrong_text(chance: random.Random) -> Made:
    return post(ask([{**instance(chance), TEXT: chance.choice(NOT_A_TEXT)}])), REFUSED


def wrong_number(chance: random.Random) -> Made:
    return post(ask([instance(chance), {NUMBER: chance.choice(NOT_A_NUMBER)}])), REFUSED


def wrong_k(chance: random.Random) -> Made:
    value = chance.choice(NOT_A_K)
    if chance.random() < 0.5:
        return post(ask([{"k": value}])), REFUSED
    return post(ask([instance(chance)], parameters={"k": value})), REFUSED


def wrong_exclusion(chance: random.Random) -> Made:
    wrong: list[Any] = [[1, chance.choice(NOT_AN_ID)], "7", 7, {}, True, [chance.randrange(9)] * 1001]
    return post(ask([{"exclude": chance.choice(wrong)}])), REFUSED


def wrong_category(chance: random.Random) -> Made:
    return post(ask([{"category": chance.choice([7, ["x"], {"x": 1}, True, 0.5])}])), REFUSED


def wrong_shape(chance: random.Random) -> Made:
    bodies: list[Any] = [
        *([], {}, None, 7, "x", True, [{}], {"instances": None}, {"instances": {}}, {"instances": "x"}),
        *({"instances": []}, {"instances": [[]]}, {"instances": [None]}, {"instances": ["x"]}, {"instances": [7]}),
        *({"instances": [{}], "parameters": []}, {"instances": [{}], "parameters": 7}, {"instance": [{}]}),
        {"instances": [{}] * 257},
    ]
    return post(json.dumps(chance.choice(bodies)).encode()), REFUSED


def unknown_field(chance: random.Random) -> Made:
    name = chance.choice(
        ["customer", "Revenue", "", "k ", "__proto__", "ключ", "<script>alert(1)</script>", "\x00", "x" * 999]
    )
    wrong = [
        ask([{**instance(chance), name: 1}]),
        ask([instance(chance)], **{name: 1}),
        ask([instance(chance)], parameters={name: 1}),
    ]
    return post(chance.choice(wrong)), REFUSED


def truncated(chance: random.Random) -> Made:
    body = ask([instance(chance)])
    return post(body[: chance.randrange(len(body))]), REFUSED


def mutated(chance: random.Random) -> Made:
    """Changed until Python's own reader refuses it."""
    body = bytearray(ask([instance(chance) for _ in range(chance.randint(1, 4))]))
    while _is_json(bytes(body)):
        place = chance.randrange(len(body))
        change = chance.randrange(3)
        if change == 0:
            body[place] = chance.randrange(256)
        elif change == 1:
            del body[place : place + chance.randint(1, 5)]
        else:
            body[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 5)))
    return post(bytes(body)), REFUSED


def not_finite(chance: random.Random) -> Made:
    value = chance.choice([b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e999", b"nan", b"inf"])
    field = chance.choice([b"revenue", b"k"])
    return post(b'{"instances": [{"%s": %s}]}' % (field, value)), REFUSED


def not_utf8(chance: random.Random) -> Made:
    wrong = [
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc0\xaf",
        b"\\ud800",
        b"\\udc00x",
        b"\x00",
        b"\n",
    ]
    return post(b'{"instances": [{"cust_person_id": "a%sb"}]}' % chance.choice(wrong)), REFUSED


def nested(chance: random.Random) -> Made:
    depth = chance.choice([10, 1000, 1025, 100_000])
    opened, closed = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inner = chance.choice([b"", opened * depth + b"1" + closed * depth])
    return post(b'{"instances": [{"cust_person_id": ' + (inner or opened * depth) + b"}]}"), REFUSED


def repeated_field(chance: random.Random) -> Made:
    wrong = [
        b'{"instances": [{"revenue": 1, "revenue": 2}]}',
        b'{"instances": [{"k": 1, "k": 1}]}',
        b'{"instances": [{"cust_person_id": "a:b", "cust_person_id": "a"}]}',
        b'{"instances": [{}], "instances": [{}]}',
        b'{"instances": [{}], "parameters": {"k": 1, "k" : 2}}',
        b'{"instances": [{"revenue": 1, "\\u0072evenue": 2}]}',
    ]
    return post(chance.choice(wrong)), REFUSED


def huge(chance: random.Random) -> Made:
    body = b'{"instances": [{"cust_person_id": "' + b"x" * (LIMIT + chance.randrange(LIMIT)) + b'"}]}'
    if chance.random() < 0.5:
        return post(body), REFUSED
    parts = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"POST ROUTE HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", REFUSED


def wrong_route(chance: random.Random) -> Made:
    method = chance.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    path = chance.choice(
        ["/predict/", "/../etc/passwd", "/%2e%2e/x", "/households/nobody", "/Predict", "//predict", "/<script>"]
    )
    wrong = [f"{method} ROUTE HTTP/1.1", f"GET {path} HTTP/1.1", f"POST {path} HTTP/1.1", "POST /health HTTP/1.1"]
    return f"{chance.choice(wrong)}\r\nHost: shop\r\nContent-Length: 0\r\n\r\n".encode(), REFUSED


def wrong_length(chance: random.Random) -> Made:
    body = ask([instance(chance)])
    lengths = [chance.randrange(1, len(body) - 1), -1, 0, 1 << 63, 1 << 70]
    return post(body, length=chance.choice(lengths)), REFUSED


def never_complete(chance: random.Random) -> Made:
    """Waits for the server to lose patience; most requests of this kind are of another, because that takes a while."""
    if chance.random() < 0.9:
        return wrong_length(chance)
    body = ask([instance(chance)])
    return post(body, length=len(body) + chance.randint(1, 1000)), REFUSED


def wrong_http(chance: random.Random) -> Made:
    body = ask([instance(chance)])
    wrong = [
        bytes(chance.randrange(256) for _ in range(200)) + b"\r\n\r\n",
        b"POST ROUTE HTTP/9.9\r\n\r\n",
        b"POST  HTTP/1.1\r\n\r\n",
        b"POST ROUTE HTTP/1.1\r\nHost shop\r\n\r\n",
        post(body, "Transfer-Encoding: chunked"),
        post(body, "X: a\x00b"),
        post(body, "Content-Length: 7"),
        b"POST ROUTE HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + body + b"\r\n0\r\n\r\n",
        b"POST ROUTE HTTP/1.1\r\nHost: shop\r\nX: " + b"x" * (1 << 17) + b"\r\n\r\n",
        b"POST ROUTE HTTP/1.1\r\nHost: shop\r\n" + b"X: x\r\n" * 20_000 + b"\r\n",
    ]
    return chance.choice(wrong), REFUSED


def only_looks_wrong(chance: random.Random) -> Made:
    fine: list[dict[str, Any]] = [
        {"exclude": [chance.randrange(-(1 << 63), 1 << 63) for _ in range(chance.randint(0, 1000))]},
        {"exclude": [7] * 1000},
        {TEXT: "nobody 🛒 \u0000 \u202e"},
        {TEXT: "x" * 100_000},
        {"category": "no such category"},
        {"k": 1000},
        {NUMBER: chance.choice([-1, 0, 3.4e38, -3.4e38, 1e-45, 1 << 60])},
        {TEXT: None, NUMBER: None, "k": None, "exclude": None, "category": None},
        {TEXT: '"a": {"b": [1, 2]}'},
        {},
    ]
    return post(ask([chance.choice(fine)], parameters=chance.choice([None, {}, {"k": 3}]))), FINE


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


MAKERS: list[Maker] = [
    *(wrong_text, wrong_number, wrong_k, wrong_exclusion, wrong_category, wrong_shape, unknown_field, truncated),
    *(mutated, mutated, not_finite, not_utf8, nested, repeated_field, huge, wrong_route, wrong_length),
    *(never_complete, wrong_http),
]
