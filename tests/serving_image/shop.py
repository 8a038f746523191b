"""A shop whose release every test may serve, NumPy's own answers to what may be asked of it, and how to ask."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np

from serving_image.app import App
from serving_image.service import Service
from tests.serving_image import stand_in

WIDTH, PRODUCTS = 4, 40
RANDOM = np.random.default_rng(3)
CUSTOMERS = {f"клиент {number}": RANDOM.standard_normal(WIDTH).round(3).tolist() for number in range(20)}
CANDIDATES = RANDOM.standard_normal((PRODUCTS, WIDTH)).astype("f4")
NAMES = ["Молоко «Домик»", "<b>Gouda</b> & 'jung'", 'Chips "paprika"', "りんご 🍎", "two\nlines", ""]
TABLE = [
    (306_344_001_001 + 7 * number, f"{NAMES[number % 6]} {number}", f"part {number % 3}", f"sub {number % 5}")
    for number in range(PRODUCTS)
]
IDS = [product[0] for product in TABLE]


def expected(
    customer: str = "",
    revenue: float = stand_in.REVENUE,
    k: int = PRODUCTS,
    exclude: tuple[int, ...] = (),
    category: str = "",
) -> tuple[list[int], list[float]]:
    """The products and scores that a customer should get."""
    query = np.array(CUSTOMERS.get(customer, [0.0] * WIDTH)) + 1e-6 * revenue
    scores = CANDIDATES.astype("f8") @ query
    allowed = [
        place for place, product in enumerate(TABLE) if product[0] not in exclude and category in ("", product[2])
    ]
    best = sorted(allowed, key=lambda place: -scores[place])[:k]
    return [IDS[place] for place in best], scores[best].tolist()


def check(answer: dict[str, Any], *asked: Any, **further: Any) -> None:
    """Asserts that an answer is what `expected` says, with the products' own texts."""
    ids, scores = expected(*asked, **further)
    assert list(answer["product_ids"]) == ids
    np.testing.assert_allclose(np.array(answer["scores"], float), scores, rtol=1e-4, atol=1e-6)
    texts = {product[0]: product[1:] for product in TABLE}
    for place, field in enumerate(("product_names", "categories", "subcategories")):
        assert answer[field] == [texts[product][place] for product in ids]


Talk = Callable[[httpx.AsyncClient], Awaitable[Any]]


def talk(service: Service, conversation: Talk, **routes: str) -> Any:
    """Runs a conversation with the application, without a socket."""

    async def run() -> Any:
        transport = httpx.ASGITransport(App(service, **routes), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await conversation(client)

    return asyncio.run(run())


def post(service: Service, content: Any, **headers: str) -> httpx.Response:
    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await client.post("/predict", content=body, headers=headers)

    response: httpx.Response = talk(service, conversation)
    return response


def get(service: Service, path: str, method: str = "GET", **routes: str) -> httpx.Response:
    async def conversation(client: httpx.AsyncClient) -> httpx.Response:
        return await client.request(method, path)

    response: httpx.Response = talk(service, conversation, **routes)
    return response
