"""The server as a process: its start, its environment, strangers' bytes, clients that go, and its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest

from benchmarks import serve_fuzz, serve_send
from components.common import cli
from serving_image import main
from tests.command_line import result_of
from tests.servers.storage import BUCKET, storage_server
from tests.serving_image.process import Running, fetch, running, start
from tests.serving_image.shop import check


@pytest.fixture(scope="module")
def server(release: str) -> Iterator[Running]:
    with running("--release", release, "--port", "0", "--body-seconds", "0.5") as found:
        yield found


def test_it_answers(server: Running) -> None:
    answer = fetch(server.port, "/predict", {"instances": [{"cust_person_id": "клиент 1"}], "parameters": {"k": 4}})
    check(answer["predictions"][0], "клиент 1", k=4)


def test_strangers_bytes(server: Running) -> None:
    """Every kind of mischief twenty times; `make bench-serve` does it ten thousand times."""
    assert serve_send.wrong(server.port, serve_fuzz.requests(20 * len(serve_fuzz.MAKERS), seed=5)) == []
    assert fetch(server.port, "/health")["status"] == "ready"


def test_clients_that_go_do_not_disturb_others(server: Running) -> None:
    body = json.dumps({"instances": [{"cust_person_id": "клиент 2"}]}).encode()
    whole = serve_fuzz.post(body).replace(b"ROUTE", b"/predict")
    for cut in (len(whole), len(whole) - 5, 20):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(whole[:cut])
    answer = fetch(server.port, "/predict", {"instances": [{"cust_person_id": "клиент 2", "k": 3}]})
    check(answer["predictions"][0], "клиент 2", k=3)


def test_vertex_ais_environment_and_a_stop_that_finishes_what_was_begun(release: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
        "AIP_STORAGE_URI": f"{release}/saved_model",
    }
    with running(**environment) as server:
        assert server.port == port
        assert fetch(port, environment["AIP_HEALTH_ROUTE"])["model_version"] == "unknown"
        body = json.dumps({"instances": [{"cust_person_id": "клиент 5", "k": 2}]}).encode()
        raw = serve_fuzz.post(body).replace(b"ROUTE", environment["AIP_PREDICT_ROUTE"].encode())
        with socket.create_connection(("127.0.0.1", port)) as begun:
            begun.sendall(raw[:-10])
            fetch(port, environment["AIP_HEALTH_ROUTE"])  # what came before this has been read
            server.process.send_signal(signal.SIGTERM)
            while True:  # until nobody listens any more
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except ConnectionRefusedError:
                    break
                except ConnectionResetError:  # it came in while the port was being closed
                    continue
            begun.sendall(raw[-10:])
            answer = begun.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        check(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"][0], "клиент 5", k=2)
        assert server.process.wait() == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "0"], "--release, AIP_STORAGE_URI: found nothing"),
        (["--release", "nowhere", "--port", "0"], "nowhere: found nothing, expected release/ of the Exporter"),
        (["--release", "nowhere", "--port", "70000"], "127.0.0.1:70000: found"),
    ],
)
def test_bad_input(flags: list[str], said: str) -> None:
    process = start(*flags)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ([], {"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT: found 'http', expected the number of a port"),
        (["--predict-route", "predict"], {}, "expected a path that begins with /"),
        (["--max-k", "0"], {}, "--max-k: found 0, expected 1 or more"),
    ],
)
def test_bad_flags_before_anything_is_started(
    flags: list[str],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = result_of(partial(cli.run, main.serve), capsys, "serving_image.main", "--release", "nowhere", *flags)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_port_that_another_has(server: Running, release: str) -> None:
    process = start("--release", release, "--port", str(server.port))
    _, errors = process.communicate()
    assert process.returncode == 2
    assert f"127.0.0.1:{server.port}: found" in errors


@pytest.mark.parametrize(
    "seconds", [0, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (1, 2, 3, 4, 6))]
)
def test_it_stops_while_it_loads(release: str, seconds: float) -> None:
    """Whatever TensorFlow is at when the signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start("--release", release, "--port", str(port))
    status = 0
    while not status:  # until it listens
        try:
            fetch(port, "/health")
            status = 200
        except urllib.error.HTTPError as error:
            status = error.code
        except urllib.error.URLError:
            assert process.poll() is None
    assert status in (200, 503)
    time.sleep(seconds)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_release_in_a_bucket(release: str) -> None:
    with storage_server():
        uri = f"gs://{BUCKET}/models/7/release"
        files, inner = fsspec.core.url_to_fs(uri)
        for file in filter(Path.is_file, Path(release).rglob("*")):  # `put` would take the folder's name for a pattern
            files.put_file(str(file), f"{inner}/{file.relative_to(release)}")
        with running("--port", "0", AIP_STORAGE_URI=uri) as server:
            assert fetch(server.port, "/health")["model_version"] == "stand-in"
            answer = fetch(server.port, "/predict", {"instances": [{"cust_person_id": "клиент 1", "k": 4}]})
            check(answer["predictions"][0], "клиент 1", k=4)
        nowhere = start("--port", "0", AIP_STORAGE_URI=f"gs://{BUCKET}/nowhere")
        _, errors = nowhere.communicate()
    assert nowhere.returncode == 2
    assert f"gs://{BUCKET}/nowhere: found nothing there" in errors


def test_importing_it_changes_nobody_elses_arithmetic() -> None:
    """Found where a Trainer's subprocess lacked oneDNN because the server's modules had been imported before it."""
    program = "import os, serving_image.main; print(sorted(name for name in os.environ if 'ONEDNN' in name))"
    given = {name: value for name, value in os.environ.items() if "ONEDNN" not in name}
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
