"""The server's life: it listens at once, loads its model, answers, and on SIGTERM answers what it has begun."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
import uvloop

from components.common.errors import InputError
from components.common.staging import staged
from serving_image import release
from serving_image.app import App
from serving_image.households import Households
from serving_image.http import Protocol
from serving_image.model import Model
from serving_image.rows import Limits
from serving_image.service import Service

BACKLOG = 2048
DRAIN_SECONDS = 25  # Kubernetes kills after 30


@dataclass(frozen=True)
class Settings:
    """How a server runs; `main.serve` says what each means."""

    release: str
    examples: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    health_route: str = "/health"
    predict_route: str = "/predict"
    limits: Limits = field(default_factory=Limits)
    max_batch: int = 256
    max_waiting: int = 1024
    body_seconds: float = 10.0


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        InputError: no usable model, or an address that another process has.
    """
    # Before TensorFlow is imported: oneDNN keeps a plan for every number of rows that it has met, so memory would grow
    # for minutes; products of this size are no slower without. Here, because it holds for the process and its children.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # else a line for whatever a stranger sends
    with (
        _listening(settings.host, settings.port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        loading = runner.run(_serve(settings, listener))
    if loading.is_alive():
        # Python's own end would pull the ground from under TensorFlow's threads, and abort.
        sys.stderr.flush()
        os._exit(0)


async def _serve(settings: Settings, listener: socket.socket) -> threading.Thread:
    """Serves until it is told to stop; returns the thread that loads the model, which may not be done."""
    service = Service(settings.limits, settings.max_batch, settings.max_waiting, settings.body_seconds)
    config = uvicorn.Config(
        App(service, settings.health_route, settings.predict_route),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    loop, loaded = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def say(error: BaseException | None = None) -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped in the meantime
            loop.call_soon_threadsafe(_loaded, loaded, server, error)

    # A thread that the process does not wait for: a server may be stopped while its model is still on its way.
    loading = threading.Thread(target=_load, args=(settings, service, say), daemon=True)
    loading.start()
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    loaded.add_done_callback(lambda done: _announce(done, address, service))
    for stop in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it is done; a server that was told to stop has not failed.
        signal.signal(stop, lambda *_: None)
    try:
        await server.serve([listener])
    finally:
        service.close()
    if loaded.done():
        loaded.result()
        loading.join()
    return loading


def _load(settings: Settings, service: Service, say: Callable[..., None]) -> None:
    try:
        with staged(settings.release) as local:
            folder, document = release.locate(local)
            model = Model(folder)
        model.warm_up()
        households = Households(settings.examples, model.columns) if settings.examples else None
        gc.collect()
        gc.freeze()  # TensorFlow's objects stay; to look through them again and again costs milliseconds
        service.ready(model, document, households)
        say()
    except BaseException as error:
        say(error)


def _loaded(loaded: "asyncio.Future[None]", server: uvicorn.Server, error: BaseException | None) -> None:
    if error is None:
        loaded.set_result(None)
    else:
        loaded.set_exception(error)
        server.should_exit = True


def _announce(loaded: "asyncio.Future[None]", address: str, service: Service) -> None:
    if loaded.cancelled() or loaded.exception():
        return
    model = service.loaded()
    print(f"model {model.version}, {len(model.model.catalogue):,} products: {address}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port}", str(error), "an address that is free", "Choose another port or host."
        ) from None
    with listener:
        yield listener
