"""All routes of the server, as one ASGI application."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from components.common.page import STYLE
from serving_image import bodies
from serving_image.predict import predict
from serving_image.refusals import Refusal, shown
from serving_image.service import Service

PAGE = Path(__file__).with_name("page.html")
METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"
SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class App:
    """The server's routes.

    Args:
        service: The state that they share.
        health_route: 200 once the model is loaded and warmed up, 503 before.
        predict_route: POST, see `rows.Reader`.
    """

    def __init__(self, service: Service, health_route: str = "/health", predict_route: str = "/predict"):
        self.service, self.predict_route = service, predict_route
        self.page, self.policy = _page()
        routes = [
            Route(health_route, self._health),
            Route("/", self._index),
            Route("/metrics", self._metrics),
            Route("/model", self._model),
            Route("/households", self._households),
            Route("/households/{name:path}", self._household),
        ]
        handlers: Any = {Refusal: _refused, HTTPException: _unknown}
        self.others = Starlette(routes=routes, exception_handlers=handlers)

    async def __call__(self, scope: bodies.Scope, receive: bodies.Receive, send: bodies.Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.predict_route:
            await predict(self.service, scope, receive, send)
        else:
            await self.others(scope, receive, send)

    async def _health(self, request: Request) -> Response:
        return _json({"status": "ready", "model_version": self.service.loaded().version})

    async def _index(self, request: Request) -> Response:
        headers = {**SAFE, "content-security-policy": self.policy, "cache-control": "no-cache"}
        return Response(self.page, media_type="text/html; charset=utf-8", headers=headers)

    async def _metrics(self, request: Request) -> Response:
        return Response(self.service.metrics.text(), media_type=METRICS_TYPE, headers=SAFE)

    async def _model(self, request: Request) -> Response:
        """What a client, the page first of all, needs to know to ask."""
        loaded = self.service.loaded()
        model = loaded.model
        return _json(
            {
                "model_version": loaded.version,
                "predict_route": self.predict_route,
                "columns": [column._asdict() for column in model.columns],
                "products": len(model.catalogue),
                "categories": model.catalogue.categories(),
                "default_k": loaded.default_k,
                "history": model.has_history,
                "limits": self.service.limits._asdict(),
                "households": loaded.households is not None,
                "metrics": loaded.release.get("metrics", {}),
            }
        )

    async def _households(self, request: Request) -> Response:
        return _json({"households": self._examples().all()})

    async def _household(self, request: Request) -> Response:
        name = request.path_params["name"]
        household = self._examples().one(name)
        if household is None:
            raise Refusal(404, "household", shown(name), "one of /households", "Choose another.")
        return _json(household)

    def _examples(self) -> Any:
        households = self.service.loaded().households
        if households is None:
            raise Refusal(404, "households", "none", "examples beside the release", "Start the server with --examples.")
        return households


def _page() -> tuple[str, str]:
    """The page, and the policy that lets it run its own script and style, fetch from here, and nothing else."""
    page = PAGE.read_text(encoding="utf-8").replace("/* page.css */", STYLE.read_text(encoding="utf-8"))
    style, script = (_digest(page, tag) for tag in ("style", "script"))
    return page, (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(page: str, tag: str) -> str:
    content = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, status, media_type="application/json", headers={**SAFE, **(headers or {})})


def _refused(request: Request, refusal: Refusal) -> Response:
    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    return Response(refusal.body(), refusal.status, media_type="application/json", headers={**SAFE, **headers})


def _unknown(request: Request, error: HTTPException) -> Response:
    """No such path, or another method than its own."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        refusal = Refusal(405, "the method", request.method, allowed, "Use that.", ((b"allow", allowed.encode()),))
    else:
        known = "a route of this server"
        refusal = Refusal(error.status_code, "the path", shown(request.url.path)[1:-1], known, "See GET /.")
    return _refused(request, refusal)
