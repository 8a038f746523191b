"""The page in a browser: its buttons, its keyboard, its width. Skipped where there is no Chromium."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.components import fake_model
from tests.serving_image import browser, stand_in
from tests.serving_image.process import Running, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="no Chromium"),
]

PRODUCTS = [
    (int(product), texts["art_name"], texts["stratbuy_domain_desc"], texts["mge_main_cat_desc"])
    for product, texts in fake_model.PRODUCTS.items()
]
RECOMMENDED = "[...document.querySelectorAll('#recommended .name')].map((name) => name.firstChild.textContent)"
NAMES = {product[0]: product[1] for product in PRODUCTS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The households of fake_model, each with a score for each of its five products."""
    folder = tmp_path_factory.mktemp("page")
    release = folder / "release"
    release.mkdir()
    customers = {"ann": [5.0, 4, 3, 2, 1], "bob": [1.0, 2, 3, 4, 5], "cyd": [1.0, 5, 2, 4, 3], "dan": [2.0, 1, 5, 4, 3]}
    stand_in.write_known(release, customers, np.eye(5), PRODUCTS)
    examples = fake_model.write_examples(folder / "examples")
    with running("--release", str(release), "--examples", examples, "--port", "0") as found:
        yield found


@pytest.fixture
def page() -> Iterator[browser.Page]:
    with browser.page() as found:
        yield found
        assert found.complaints == []


def shown(page: browser.Page, *products: int) -> None:
    """Waits until exactly these are recommended."""
    page.wait(f"JSON.stringify({RECOMMENDED}) === JSON.stringify({[NAMES[product] for product in products]!r})")


def test_a_household_its_history_and_its_exclusions(server: Running, page: browser.Page) -> None:
    page.open(f"http://127.0.0.1:{server.port}/")
    shown(page, 11, 12, 13, 14, 15)  # ann, the first
    assert page.value("document.querySelectorAll('#history button').length") == 3
    assert page.value("document.querySelectorAll('#recommended .hit').length") == 3
    assert page.value("document.querySelectorAll('script').length") == 1  # a product's name has one in it
    page.value("document.getElementById('hide').click()")
    shown(page, 13, 15)
    page.value("document.getElementById('hide').click()")
    shown(page, 11, 12, 13, 14, 15)
    page.value("document.querySelectorAll('#recommended button')[1].click()")
    shown(page, 11, 13, 14, 15)
    page.value("document.querySelector('#history button').click()")
    shown(page, 13, 14, 15)
    assert page.value("document.querySelector('#history button').getAttribute('aria-pressed')") == "true"
    assert "exclude=12%2C11" in page.value("location.search")
    page.value("document.querySelector('#chips button').click()")
    shown(page, 12, 13, 14, 15)
    page.value(
        "document.getElementById('category').value = 'Dairy';"
        "document.getElementById('category').dispatchEvent(new Event('change'))"
    )
    shown(page, 12, 13)
    page.value(
        "document.getElementById('household').value = 'bob';"
        "document.getElementById('household').dispatchEvent(new Event('change'))"
    )
    shown(page, 13, 12)
    assert page.value("document.querySelectorAll('#chips button').length") == 0


def test_an_address_keeps_what_was_chosen(server: Running, page: browser.Page) -> None:
    page.open(f"http://127.0.0.1:{server.port}/?household=dan&category=Household&exclude=15&k=5&hide=1")
    shown(page, 14)
    assert page.value("document.querySelector('#chips button').textContent").startswith("15 ")


def test_the_keyboard_is_enough(server: Running, page: browser.Page) -> None:
    page.open(f"http://127.0.0.1:{server.port}/")
    shown(page, 11, 12, 13, 14, 15)
    page.value("document.getElementById('hide').focus()")
    page.press(" ")
    shown(page, 13, 15)
    page.press("Tab")
    assert page.value("document.activeElement.closest('#recommended') !== null")
    page.press("Enter")
    shown(page, 15)
    page.wait("document.activeElement.closest('#recommended') !== null")  # the next one is at hand


def test_an_unknown_household_is_said(server: Running, page: browser.Page) -> None:
    page.open(f"http://127.0.0.1:{server.port}/?household=nobody")
    page.wait("document.getElementById('said').textContent.includes('found \"nobody\"')")
    page.complaints.clear()  # the browser notes the 404


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1200, False), (1200, True)])
def test_nothing_is_wider_than_the_screen(server: Running, page: browser.Page, width: int, dark: bool) -> None:
    page.open(f"http://127.0.0.1:{server.port}/?household=bob&exclude=11,12", width, dark=dark)
    shown(page, 15, 14, 13)
    assert page.value("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("SCREENSHOTS"):  # to look at
        image = page.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        Path(folder, f"page-{width}-{'dark' if dark else 'light'}.png").write_bytes(base64.b64decode(image))


def test_without_examples_the_columns_are_asked_for(server: Running, page: browser.Page, release: str) -> None:
    with running("--release", release, "--port", "0") as other:
        page.open(f"http://127.0.0.1:{other.port}/")
        page.wait(f"{RECOMMENDED}.length === 10")
        page.value(
            "document.querySelector('input[name=cust_person_id]').value = 'клиент 1';"
            "document.querySelector('input[name=cust_person_id]').dispatchEvent(new Event('change'))"
        )
        page.wait("document.getElementById('said').textContent.startsWith('10 products of 40')")
