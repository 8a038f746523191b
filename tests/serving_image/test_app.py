"""The routes, without a socket: Vertex AI's contract, refusals, headers, figures."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serving_image.model import Model
from serving_image.service import Service
from tests.serving_image.shop import CUSTOMERS, IDS, check, get, post, talk


def test_it_is_ready_when_the_model_is(service: Service) -> None:
    loading = Service()
    for path in ("/health", "/model"):
        response = get(loading, path)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["found"] == "still loading"
    assert post(loading, {"instances": [{}]}).status_code == 503
    assert get(service, "/health").json() == {"status": "ready", "model_version": "stand-in"}


def test_predictions_are_in_the_order_of_the_instances(service: Service) -> None:
    instances: list[dict[str, Any]] = [
        {"cust_person_id": "клиент 3", "revenue": 2000},
        {"cust_person_id": "клиент 4", "k": 2, "exclude": [IDS[0], IDS[1], 99]},
        {"category": "part 1", "k": None},
    ]
    response = post(service, {"instances": instances, "parameters": {"k": 5}})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["predictions"]
    first, second, third = response.json()["predictions"]
    check(first, "клиент 3", 2000, k=5)
    check(second, "клиент 4", k=2, exclude=(IDS[0], IDS[1]))
    check(third, k=5, category="part 1")


def test_the_routes_are_those_of_the_environment(service: Service) -> None:
    routes = {"health_route": "/v1/m/1", "predict_route": "/v1/m/1:predict"}
    assert get(service, "/v1/m/1", **routes).status_code == 200
    assert get(service, "/v1/m/1:predict", **routes).status_code == 405
    assert get(service, "/predict", **routes).status_code == 404
    assert get(service, "/model", **routes).json()["predict_route"] == "/v1/m/1:predict"


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/predict", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("POST", "/predict/", 404, None),
        ("GET", "/households", 404, None),
        ("GET", "/households/7", 404, None),
        ("GET", "/%3Cscript%3E", 404, None),
    ],
)
def test_other_methods_and_paths(service: Service, method: str, path: str, status: int, allowed: str | None) -> None:
    response = get(service, path, method)
    assert response.status_code == status
    assert allowed is None or sorted(response.headers["allow"].split(", ")) == allowed.split(", ")
    assert set(response.json()["error"]) == {"field", "found", "expected", "remedy"}
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_reason_names_field_found_expected_and_remedy(service: Service) -> None:
    response = post(service, {"instances": [{}, {"revenue": "much"}]})
    assert response.status_code == 400
    assert response.json()["error"] == {
        "field": "instances[1].revenue",
        "found": '"much"',
        "expected": "a number that fits in 32 bits",
        "remedy": "Correct the request.",
    }


def test_a_large_body_is_refused_with_or_without_its_length(service: Service) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/predict", content=parts())

    for response in (post(service, b" " * 5000), talk(service, conversation)):
        assert response.status_code == 413
        assert response.json()["error"]["expected"] == "at most 4,096 bytes"
        assert response.headers["connection"] == "close"


def test_a_body_that_goes_on_and_on_is_not_read_to_its_end(service: Service) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 1000
            yield b" " * 1000

    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/predict", content=parts())

    assert talk(service, conversation).status_code == 413
    assert sent <= 16 * 4096 + 2000


def test_a_body_in_parts_is_one(service: Service) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for letter in b'{"instances": [{}]}':
            yield bytes([letter])

    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/predict", content=parts())

    assert talk(service, conversation).status_code == 200


def test_a_body_that_does_not_end(service: Service) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/predict", content=parts())

    response = talk(service, conversation)
    assert response.status_code == 408
    assert response.headers["connection"] == "close"


def test_many_at_once(service: Service) -> None:
    async def one(client: httpx.AsyncClient, number: int) -> None:
        customer = f"клиент {number % len(CUSTOMERS)}"
        exclude = IDS[: number % 7]
        body = {"instances": [{"cust_person_id": customer, "k": 1 + number % 9, "exclude": exclude}]}
        response = await client.post("/predict", json=body)
        check(response.json()["predictions"][0], customer, k=1 + number % 9, exclude=tuple(exclude))

    async def conversation(client: httpx.AsyncClient) -> None:
        await asyncio.gather(*(one(client, number) for number in range(200)))

    talk(service, conversation)
    text = get(service, "/metrics").text
    assert re.search(r'^recs_predict_requests_total\{status="200"\} 200.0$', text, re.MULTILINE)
    assert float(re.findall(r"^recs_batch_rows_sum (.*)$", text, re.MULTILINE)[0]) == 200
    assert float(re.findall(r"^recs_batch_rows_count (.*)$", text, re.MULTILINE)[0]) < 100
    assert re.search(r'^recs_model_info\{version="stand-in"\} 1.0$', text, re.MULTILINE)
    assert re.search(r"^recs_waiting_rows 0.0$", text, re.MULTILINE)


def test_an_error_of_ours_says_nothing_of_our_insides(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    service.ready(model, {})

    def broken(rows: Any) -> Any:
        raise RuntimeError("the password is 1234")

    service.loaded().batcher.call = broken
    response = post(service, {"instances": [{}]})
    assert response.status_code == 500
    assert "1234" not in response.text
    assert "1234" in caplog.text
    service.loaded().batcher.call = model
    assert post(service, {"instances": [{}]}).status_code == 200


def test_too_many_waiting(model: Model) -> None:
    service = Service(max_waiting=2)
    service.ready(model, {})

    async def conversation(client: httpx.AsyncClient) -> list[httpx.Response]:
        body: dict[str, Any] = {"instances": [{}, {}]}
        return await asyncio.gather(*(client.post("/predict", json=body) for _ in range(8)))

    responses: list[httpx.Response] = talk(service, conversation)
    refused = [response for response in responses if response.status_code == 503]
    assert {response.status_code for response in responses} == {200, 503}
    assert all(response.headers["retry-after"] == "1" for response in refused)


def test_what_a_client_needs_to_know(service: Service) -> None:
    about = get(service, "/model").json()
    assert about["limits"] == {"body": 4096, "instances": 8, "k": 30, "exclude": 20, "history": 1000}
    assert about["history"] is False
    assert about["default_k"] == 30  # the model's is 40, all of its products
    assert [column["name"] for column in about["columns"]] == ["city", "cust_person_id", "revenue"]
    assert (about["products"], about["households"], about["metrics"]) == (40, False, {"recall_10": {"value": 0.25}})


def test_the_page_runs_its_own_script_alone(service: Service) -> None:
    response = get(service, "/")
    policy = response.headers["content-security-policy"]
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", response.text, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-frame-options"] == "DENY"
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", response.text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|style=|\son\w+=", response.text)
