"""weights.npz: what comes back from it, and every way in which it may be damaged."""

import io
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from components.common.errors import InputError
from tests.trainer_image.known_weights import CONFIG, build, kernels, rows, vocabulary
from trainer_image import warm_start, weights
from trainer_image.model import TwoTower

ODD = [
    "",
    "two\nlines",
    "naïve",
    "nai\u0308ve",
    "Łódź",
    "北京",
    "🛒👨‍👩‍👧",
    "N\0UL",
    "NUL",
    " space ",
    '"quoted"',
    "é" * 3000,
]

VOCABULARIES: dict[str, dict[str, Any]] = {
    "cust_person_id": vocabulary("a", "b"),
    "city": vocabulary(*ODD),
    "revenue": {"mean": 50.0, "variance": 850.0, "quantiles": [float(i) for i in range(101)]},
    "product_id": vocabulary(*"123456"),
    "stratbuy_domain_desc": vocabulary("c"),
}
PRODUCTS = {
    product: {"art_name": "name", "stratbuy_domain_desc": "c", "mge_main_cat_desc": "s"} for product in "123456"
}


@pytest.fixture(scope="module")
def model() -> TwoTower:
    return build(CONFIG, VOCABULARIES, PRODUCTS, seed=1)


@pytest.fixture(scope="module")
def content(model: TwoTower, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of the model's weights.npz."""
    folder = tmp_path_factory.mktemp("saved")
    weights.save(str(folder), model)
    return (folder / "weights.npz").read_bytes()


def test_tokens_of_any_script_are_carried(model: TwoTower, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(content)
    vocabularies = {**VOCABULARIES, "city": vocabulary("new", *reversed(ODD))}
    later = build(CONFIG, vocabularies, PRODUCTS, seed=2)
    carried = warm_start.apply(str(tmp_path), later, PRODUCTS)
    assert warm_start.Table("query", "city", carried=len(ODD), new=1) in carried.tables
    new = rows(later, "city", vocabularies)
    for token, expected in rows(model, "city", VOCABULARIES).items():
        np.testing.assert_array_equal(new[token], expected)


def rewritten(**changes: Any) -> Callable[[bytes], bytes]:
    """A sound archive with other arrays; None leaves one out."""

    def change(content: bytes) -> bytes:
        arrays = {**np.load(io.BytesIO(content)), **{name.replace("__", "/"): value for name, value in changes.items()}}
        file = io.BytesIO()
        np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
        return file.getvalue()

    return change


def without_a_bias(content: bytes) -> bytes:
    """What a Trainer would have written whose last query layer has no bias."""
    there = b'"biases": [true, true]'
    return described(there, b'"biases": [true, false]')(rewritten(query_dense_1__bias=None)(content))


def described(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        text = np.load(io.BytesIO(content))["description"].tobytes()
        assert old in text
        return rewritten(description=np.frombuffer(text.replace(old, new, 1), np.uint8))(content)

    return change


def flipped(content: bytes) -> bytes:
    """One bit of one weight is another one."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        place = archive.getinfo("query_city/table.npy").header_offset + 300
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


NAN = np.full((13, 4), np.nan, np.float32)
DAMAGED: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "found damage"),
    (lambda _: b"not a zip", "found damage"),
    (lambda content: content[: len(content) // 2], "found damage .*zip"),
    (flipped, "found damage .*Bad CRC-32 for file 'query_city/table.npy'"),
    (rewritten(description=None), "found damage .*description"),
    (rewritten(candidate_dense_0__bias=None), "found damage .*other arrays than its description says"),
    (rewritten(query_city__table=None), "found damage .*other arrays than its description says"),
    (rewritten(query_city__table=NAN[:3]), "found damage .*other arrays than its description says"),
    (rewritten(query_city__table=NAN), "found damage .*query_city/table is not finite float32"),
    (rewritten(query_city__table=np.ones((13, 4))), "found damage .*query_city/table is not finite float32"),
    (rewritten(query_city__table=np.array([[{}] * 4] * 13)), "found damage .*allow_pickle=False"),
    (described(b'"tokens"', b'"tokens'), "found damage .*JSON"),
    (described(b'"rows"', b'"lines"'), "found damage .*lines"),
    (described(b'"candidate"', b'"product"'), "found damage .*other arrays"),
    (described("北京".encode(), b"\xff\xff\xff\xff\xff\xff"), "found damage .*utf-8"),
    (described(b'"format_version": 1', b'"format_version": 2'), "field format_version: found 2, expected 1"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGED)
def test_damage_and_other_versions_are_refused(
    content: bytes, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    file = tmp_path / "weights.npz"
    file.write_bytes(damage(content))
    with pytest.raises(InputError, match=rf"{file}.*{message}"):
        weights.read(str(file))


def test_a_bias_that_the_earlier_model_lacks_is_left_as_it_was(model: TwoTower, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(without_a_bias(content))
    later = build(CONFIG, VOCABULARIES, PRODUCTS, seed=2)
    fresh = kernels(later)
    warm_start.apply(str(tmp_path), later, PRODUCTS)
    for i, (found, old) in enumerate(zip(kernels(later), kernels(model), strict=True)):
        np.testing.assert_array_equal(found, fresh[i] if i == 3 else old)


@pytest.mark.parametrize("path", ["/nowhere", "memory://nowhere"])
def test_a_missing_file_is_named(path: str) -> None:
    with pytest.raises(InputError, match=rf"{path}/weights\.npz: found no such file.*--warm-start-from"):
        weights.read(f"{path}/weights.npz")


def test_the_earlier_model_may_be_in_a_bucket(model: TwoTower, content: bytes) -> None:
    bucket = f"memory://bucket-{uuid.uuid4().hex}/model"
    with fsspec.open(f"{bucket}/weights.npz", "wb") as file:
        file.write(content)
    later = build(CONFIG, VOCABULARIES, PRODUCTS, seed=2)
    warm_start.apply(bucket, later, PRODUCTS)
    for found, expected in zip(later.get_values(), model.get_values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_same_model_gives_the_same_bytes(model: TwoTower, content: bytes, tmp_path: Path) -> None:
    weights.save(str(tmp_path), model)
    assert (tmp_path / "weights.npz").read_bytes() == content
