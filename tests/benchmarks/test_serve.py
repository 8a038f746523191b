"""The tools of `make bench-serve`: what they send, and how they judge the answers."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import serve, serve_fuzz, serve_load, serve_send
from components.common.errors import InputError


def test_one_seed_sends_the_same_of_every_kind() -> None:
    count = 3 * len(serve_fuzz.MAKERS)
    first, second = (list(serve_fuzz.requests(count, seed=4)) for _ in range(2))
    assert first == second
    assert list(serve_fuzz.requests(count, seed=5)) != first
    kinds = {maker.__name__ for maker in serve_fuzz.MAKERS}
    assert {request.kind for request in first} == {*kinds, "only_looks_wrong"}
    assert sum(request.expected == serve_fuzz.REFUSED for request in first) == count


@pytest.mark.parametrize(
    ("expected", "status", "body", "complaint"),
    [
        ("4xx", 400, b'{"error": {"field": "k", "found": "0", "expected": "1", "remedy": "Correct it."}}', ""),
        ("4xx", 400, b"Invalid HTTP request received.", ""),
        ("4xx", 400, b"", "without a reason"),
        ("4xx", 400, b'{"error": {"field": "k", "found": "", "expected": "1", "remedy": "x"}}', "half a reason"),
        ("4xx", 200, b'{"predictions": []}', "status 200"),
        ("4xx", 500, b"Internal Server Error", "status 500"),
        ("4xx", 0, b"", "status 0"),
        ("4xx", 400, b'Traceback (most recent call last):\n  File "x"', "insides"),
        ("200", 200, b'{"predictions": [{}]}', ""),
        ("200", 400, b'{"error": {}}', "status 400"),
    ],
)
def test_answers_are_judged(expected: str, status: int, body: bytes, complaint: str) -> None:
    found = serve_send.judge(serve_fuzz.Request(b"", expected, "kind"), status, body)
    assert complaint in found
    assert bool(found) is bool(complaint)


def test_the_soak_asks_differently() -> None:
    bodies = [json.dumps({"instances": [{"cust_person_id": str(number), "k": 10}]}) for number in range(8)]
    ids = np.arange(800).reshape(8, 100)
    asked = [json.loads(body)["instances"] for body in serve.mixed(bodies, serve.Answers(ids, ids.astype("f4")))]
    assert asked[1] == [{"cust_person_id": "1", "k": 10, "exclude": [100, 101]}]
    assert asked[2] == [{"cust_person_id": "2", "k": 3}]
    assert [len(instances) for instances in asked] == [1, 1, 1, 1, 1, 1, 1, 2]


def test_without_wrk_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"the program wrk: found nothing.* apt-get install wrk"):
        serve_load.wrk()
