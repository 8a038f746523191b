"""What a request may say, and how everything else is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_image.histories import History
from serving_image.refusals import FOUND, Refusal
from serving_image.rows import Column, Limits, Reader, Row

COLUMNS = [Column("name", "string", ""), Column("number", "int64", 0), Column("revenue", "float", 5.5)]
LIMITS = Limits(body=1 << 16, instances=3, k=50, exclude=4, history=3)
READER = Reader(COLUMNS, LIMITS, default_k=7, has_history=True)
WITHOUT = Reader(COLUMNS, LIMITS, default_k=7)
PRODUCT = "a product id, a whole number of 64 bits"
DAYS = "days since the purchase, a number from 0 that fits in 32 bits"


def read(document: Any) -> list[Row]:
    return READER.read(json.dumps(document).encode())


def read_or_refused(document: Any) -> list[Row]:
    """The rows, if any; a refusal has a status and a field."""
    try:
        return read(document)
    except Refusal as refusal:
        answer = refusal.status, json.loads(refusal.body())["error"]["field"]
    assert answer[0] in (400, 413)
    assert answer[1]
    return []


def refused(body: bytes, reader: Reader = READER) -> Refusal:
    with pytest.raises(Refusal) as caught:
        reader.read(body)
    return caught.value


def test_what_is_not_given_takes_its_default() -> None:
    document = {"instances": [{}, {"name": None, "k": None, "exclude": None, "category": None}], "parameters": None}
    assert read(document) == [Row(("", 0, 5.5), 7, (), "")] * 2


def test_an_instance_says_more_than_the_parameters() -> None:
    rows = read({"instances": [{"name": "ann"}, {"k": 1, "exclude": [5, -1], "category": "x"}], "parameters": {"k": 9}})
    assert rows == [Row(("ann", 0, 5.5), 9, (), ""), Row(("", 0, 5.5), 1, [5, -1], "x")]


def test_whole_numbers_are_numbers_and_colons_are_letters() -> None:
    assert read({"instances": [{"name": 'a:"b":', "number": -(1 << 63), "revenue": 3}]})[0].values == (
        'a:"b":',
        -(1 << 63),
        3,
    )


@pytest.mark.parametrize(
    ("instance", "where", "expected"),
    [
        ({"name": 7}, "instances[1].name", "a text, in quotes"),
        ({"name": ["x"]}, "instances[1].name", "a text, in quotes"),
        ({"number": 1.0}, "instances[1].number", "a whole number of 64 bits"),
        ({"number": True}, "instances[1].number", "a whole number of 64 bits"),
        ({"number": 1 << 63}, "instances[1].number", "a whole number of 64 bits"),
        ({"revenue": "5"}, "instances[1].revenue", "a number that fits in 32 bits"),
        ({"revenue": False}, "instances[1].revenue", "a number that fits in 32 bits"),
        ({"revenue": 3.5e38}, "instances[1].revenue", "a number that fits in 32 bits"),
        ({"k": 0}, "instances[1].k", "a whole number from 1 to 50"),
        ({"k": 51}, "instances[1].k", "a whole number from 1 to 50"),
        ({"k": True}, "instances[1].k", "a whole number from 1 to 50"),
        ({"k": 2.0}, "instances[1].k", "a whole number from 1 to 50"),
        ({"exclude": 5}, "instances[1].exclude", "a list of product ids"),
        ({"exclude": [1, "2"]}, "instances[1].exclude[1]", "a product id, a whole number of 64 bits"),
        ({"exclude": [1, 2, 3, 4, 5]}, "instances[1].exclude", "at most 4"),
        ({"category": 1}, "instances[1].category", "a text"),
        ({"nmae": "x"}, "instances[1]", "only name, number, revenue, k, exclude, category, history"),
        ([], "instances[1]", "an object"),
    ],
)
def test_a_wrong_instance(instance: Any, where: str, expected: str) -> None:
    refusal = refused(json.dumps({"instances": [{}, instance]}).encode())
    assert (refusal.status, refusal.where, refusal.expected) == (400, where, expected)
    assert refusal.found
    assert refusal.remedy


def test_a_history() -> None:
    purchases = [{"product_id": 5, "days": 0}, {"days": 2.5, "product_id": 99}, {"product_id": 5, "days": 3e38}]
    rows = read({"instances": [{"name": "ann", "history": purchases, "exclude": [5], "k": 2}, {}]})
    history = History([5, 99, 5], [0, 2.5, 3e38])
    assert rows == [Row(("ann", 0, 5.5), 2, [5], "", history), Row(("", 0, 5.5), 7, (), "")]


@pytest.mark.parametrize("reader", [READER, WITHOUT])
def test_no_history_is_none(reader: Reader) -> None:
    body = b'{"instances": [{"history": null}, {"history": [], "category": "x"}, {"history": null, "k": 7}]}'
    plain = Row(("", 0, 5.5), 7, (), "")
    assert reader.read(body) == [plain, plain._replace(category="x"), plain]


def purchase(**fields: Any) -> list[Any]:
    """A history whose second purchase has these fields instead."""
    return [{"product_id": 7, "days": 1}, {"product_id": 7, "days": 1, **fields}]


@pytest.mark.parametrize(
    ("history", "where", "found", "expected"),
    [
        (5, "", "5", "a list of purchases, objects with product_id and days"),
        ({}, "", "an object", "a list of purchases, objects with product_id and days"),
        (purchase() * 2, "", "4 purchases", "at most 3"),
        ([7], "[0]", "7", "a purchase, an object with product_id and days"),
        ([*purchase(), None], "[2]", "null", "a purchase, an object with product_id and days"),
        ([{"day": 1, "product_id": 7}], "[0]", 'an unknown field "day"', "only product_id, days"),
        (purchase(count=2), "[1]", 'an unknown field "count"', "only product_id, days"),
        ([{}], "[0].product_id", "nothing", PRODUCT),
        ([{"product_id": 7}], "[0].days", "nothing", DAYS),
        (purchase(product_id=None), "[1].product_id", "null", PRODUCT),
        (purchase(product_id=True), "[1].product_id", "true", PRODUCT),
        (purchase(product_id=7.0), "[1].product_id", "7.0", PRODUCT),
        (purchase(product_id="7"), "[1].product_id", '"7"', PRODUCT),
        (purchase(product_id=1 << 63), "[1].product_id", str(1 << 63), PRODUCT),
        (purchase(days=None), "[1].days", "null", DAYS),
        (purchase(days=False), "[1].days", "false", DAYS),
        (purchase(days="1"), "[1].days", '"1"', DAYS),
        (purchase(days=-1), "[1].days", "-1", DAYS),
        (purchase(days=-1e-9), "[1].days", "-1e-9", DAYS),
        (purchase(days=3.5e38), "[1].days", "3.5e+38", DAYS),
        (purchase(days=[1]), "[1].days", "a list of 1", DAYS),
    ],
)
def test_a_wrong_history(history: Any, where: str, found: str, expected: str) -> None:
    refusal = refused(json.dumps({"instances": [{}, {}, {"history": history}]}).encode())
    assert (refusal.status, refusal.where) == (400, f"instances[2].history{where}")
    assert (refusal.found, refusal.expected) == (found, expected)
    assert refusal.remedy == "Correct the request."


def test_a_history_has_no_category() -> None:
    refusal = refused(json.dumps({"instances": [{"category": "x", "history": purchase()}]}).encode())
    assert (refusal.status, refusal.where, refusal.found) == (400, "instances[0].category", '"x"')
    assert refusal.expected == "none beside a history, from which this model answers of all categories"
    assert refusal.remedy == "Leave one of the two out."
    assert read({"instances": [{"category": "", "history": purchase()}]})[0].history == History([7, 7], [1, 1])


def test_a_history_that_the_model_does_not_take() -> None:
    refusal = refused(json.dumps({"instances": [{}, {"history": purchase()}]}).encode(), WITHOUT)
    assert (refusal.status, refusal.where, refusal.found) == (400, "instances[1].history", "a list of 2")
    assert refusal.expected == "none, this model takes no history"
    assert refusal.remedy
    refusal = refused(b'{"instances": [{"nmae": 1}]}', WITHOUT)
    assert refusal.expected == "only name, number, revenue, k, exclude, category"


def test_a_column_may_be_named_history() -> None:
    reader = Reader([Column("history", "string", "")], LIMITS, 7)
    assert reader.read(b'{"instances": [{"history": "long"}]}') == [Row(("long",), 7, (), "")]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "the body, line 1"),
        (b"[1", "the body, line 1"),
        (b'{"instances": [{"revenue": NaN}]}', "the body, line 1"),
        (b'{"instances": [{"revenue": 1e400}]}', "the body, line 1"),
        (b'{"instances": [{"name": "\xff"}]}', "the body, line 1"),
        (b'{"instances": [{"name": "\\ud800"}]}', "the body, line 1"),
        (b"[" * 5000, "the body, line 1"),
        (b"[]", "the body"),
        (b"{}", "instances"),
        (b'{"instances": []}', "instances"),
        (b'{"instances": [{}], "parameters": [1]}', "parameters"),
        (b'{"instances": [{}], "parameters": {"k": 99}}', "parameters.k"),
        (b'{"instances": [{}], "parameters": {"K": 9}}', "parameters"),
        (b'{"instances": [{}], "instance": 1}', "the body"),
    ],
)
def test_a_wrong_body(body: bytes, where: str) -> None:
    refusal = refused(body)
    assert refusal.status == 400
    assert refusal.where.startswith(where)


def test_too_many_instances() -> None:
    refusal = refused(json.dumps({"instances": [{}] * 4}).encode())
    assert (refusal.status, refusal.found, refusal.expected) == (413, "4 instances", "at most 3 a request")


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"name": "a", "name": "a"}]}',
        b'{"instances": [{"k": 1, "\\u006b" : 2}]}',
        b'{"instances": [{}], "instances": [{}]}',
        b'{"instances": [{"name": "a:b", "name": "c"}]}',
        b'{"instances": [{"history": [{"product_id": 1, "days": 1, "days": 2}]}]}',
        b'{"instances": [{"history": [], "history": [{"product_id": 1, "days": 1}]}]}',
        b'{"instances": [{"history": [{"product_id": 1, "days": 1}], "history": []}]}',
        b'{"instances": [{"name": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b', "name": "c"}]}',
    ],
)
def test_a_field_that_comes_twice(body: bytes) -> None:
    assert "twice" in refused(body).found or "nesting" in refused(body).found


def test_a_long_value_is_cut_short_in_the_reason() -> None:
    assert len(refused(json.dumps({"instances": [{"revenue": "я" * 5000}]}).encode()).found) < FOUND + 5


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["k", "name"]), inner, max_size=3)
    ),
    max_leaves=5,
)
fields = st.sampled_from(["name", "number", "revenue", "k", "exclude", "category", "history"])
purchases = st.dictionaries(st.sampled_from(["product_id", "days", "days", "day"]), st.integers() | values, max_size=3)
said = st.dictionaries(fields, values | st.lists(purchases, max_size=4), max_size=4)


@given(st.lists(said, max_size=4), values)
def test_whatever_it_says_it_is_read_or_refused(instances: Any, parameters: Any) -> None:
    for row in read_or_refused({"instances": instances, "parameters": parameters}):
        name, number, revenue = row.values
        assert isinstance(name, str)
        assert -(1 << 63) <= number < 1 << 63
        assert math.isfinite(revenue)
        assert 1 <= row.k <= 50
        for product, days in zip(*(row.history or ((), ())), strict=True):
            assert -(1 << 63) <= product < 1 << 63
            assert 0 <= days < 3.5e38


@given(st.binary(max_size=200))
def test_whatever_it_is(body: bytes) -> None:
    assert refused(body).status == 400
