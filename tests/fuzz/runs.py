"""Two small finished runs of all five components, and copies of them in which one thing can be changed."""

import os
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

CUSTOMERS, PRODUCTS, BASKETS = 40, 24, 2_000
BEGIN, STEP = 1_700_000_000, 3_000  # seconds
SHARD_ROWS = 2_048  # rows of a stream at most, so that every split has several shards
KS = (5, 10)  # of the Evaluator
THRESHOLDS = "duplicate: 0.2\nnulls: 0.5\npsi_revenue: 0.5\n"
SPACE = "temperature: {low: 0.1, high: 1.0, log: true}\nbatch_size: {choices: [256, 512]}\n"
CONFIG = """\
query:
  features:
    - {kind: id, name: cust_person_id, dim: 8}
    - {kind: numeric, name: revenue, transform: normalize}
    - {kind: text, name: city, dim: 4}
  layers: [8]
candidate:
  features:
    - {kind: id, name: product_id, dim: 8}
    - {kind: text, name: stratbuy_domain_desc, dim: 4}
  layers: [8]
"""
NAMES = ("Gouda 'jung' 48%", "Молоко 3,2% «Домик»", "りんご 🍎", "Crème brûlée", 'Chips "paprika"', "Soap")


class Run(NamedTuple):
    """The paths of a finished run, all in one folder."""

    folder: Path

    @property
    def purchases(self) -> Path:
        """A folder with two Parquet files."""
        return self.folder / "log"

    @property
    def products(self) -> Path:
        return self.folder / "products.parquet"

    @property
    def config(self) -> Path:
        return self.folder / "feature_config.yaml"

    @property
    def optional(self) -> dict[str, Path]:
        """Further files that the DataExtractor reads where they are there, by its parameters."""
        names = {"thresholds": "thresholds.yaml", "previous_metadata": "previous_metadata.json"}
        return {parameter: self.folder / name for parameter, name in names.items()}

    @property
    def examples(self) -> Path:
        return self.folder / "examples"

    @property
    def metadata(self) -> Path:
        return self.examples / "metadata.json"

    @property
    def vocabularies(self) -> Path:
        return self.folder / "vocabularies.json"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation"

    @property
    def release(self) -> Path:
        return self.folder / "release"

    @property
    def space(self) -> Path:
        return self.folder / "space.yaml"

    @property
    def search(self) -> Path:
        """A finished search of one training."""
        return self.folder / "search"

    def copied(self, folder: Path) -> "Run":
        """A copy by hard links: whoever changes a file replaces it (see `replace`), so that the original stays."""
        shutil.copytree(self.folder, folder, copy_function=os.link, symlinks=True)
        return Run(folder)


def replace(path: Path, content: bytes) -> None:
    """Puts another file in the place of a hard link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def write_log(run: Run, seed: int) -> None:
    """Writes a purchase log and its products: customers who mostly buy three favourites.

    Revenues are quarters, times whole seconds: every type that can hold them holds them exactly.

    Args:
        run: Where.
        seed: Of what is bought; customers and products are the same with every seed.
    """
    draw = random.Random(seed)  # noqa: S311
    ids = [306_344_001_001 + 1_003 * number for number in range(PRODUCTS)]
    rows = []
    for basket in range(BASKETS):
        customer = basket % CUSTOMERS if basket < 2 * CUSTOMERS else draw.randrange(CUSTOMERS)
        for item in range(draw.randint(1, 4)):
            favourite = (customer + item) % PRODUCTS if draw.random() < 0.8 else draw.randrange(PRODUCTS)
            time = BEGIN + basket * STEP + 60 * draw.randrange(100)
            rows.append((f"клиент {customer}", ids[favourite], draw.randint(1, 80) / 4, f"Köln {customer % 5}", time))
    customer, product, revenue, city, timestamp = zip(*dict.fromkeys(rows), strict=True)
    table = pa.table(
        {
            "cust_person_id": pa.array(customer),
            "product_id": pa.array(product, pa.int64()),
            "revenue": pa.array(revenue, pa.float64()),
            "city": pa.array(city),
            "timestamp": pa.array([1_000_000 * time for time in timestamp], pa.timestamp("us", "UTC")),
        }
    )
    run.purchases.mkdir(parents=True)
    half = table.num_rows // 2
    pq.write_table(table[:half], run.purchases / "2023-12.parquet")
    pq.write_table(table[half:], run.purchases / "2024-01.parquet")
    described = {
        "product_id": pa.array(ids, pa.int64()),
        "art_name": [f"{NAMES[number % len(NAMES)]} {number}" for number in range(PRODUCTS)],
        "stratbuy_domain_desc": [f"категория {number % 4}" for number in range(PRODUCTS)],
        "mge_main_cat_desc": [f"sub {number % 9}" for number in range(PRODUCTS)],
    }
    pq.write_table(pa.table(described), run.products)
    for path, text in ((run.config, CONFIG), (run.optional["thresholds"], THRESHOLDS), (run.space, SPACE)):
        path.write_text(text, encoding="utf-8")


def write_data(run: Run) -> None:
    """The first two components: examples and vocabularies."""
    from components.data_extractor import parquet, parquet_stream
    from components.data_extractor.extract import extract
    from components.vocab_builder.build import build_vocabularies

    with mock.patch.object(parquet, "BATCH", SHARD_ROWS), mock.patch.object(parquet_stream, "BATCH", SHARD_ROWS):
        extract(
            purchases=f"{run.purchases}/*.parquet",
            products=str(run.products),
            output_path=str(run.examples),
            feature_config=str(run.config),
        )
    build_vocabularies(examples=str(run.examples), output_path=str(run.vocabularies), feature_config=str(run.config))


def options(run: Run, **changes: str) -> Any:
    """The Trainer's options: two epochs."""
    from trainer_image.options import Options

    told: dict[str, Any] = {
        "tfrecords_path": str(run.examples),
        "vocabularies_path": str(run.vocabularies),
        "metadata_path": str(run.metadata),
        "output_path": str(run.model),
        "feature_config": str(run.config),
        "epochs": 2,
        "batch_size": 128,
        "learning_rate": 0.05,
        "warmup_steps": 1,
        "patience": 2,
        "top_k": 5,
    }
    return Options(**{**told, **changes})


def write_model(run: Run) -> None:
    """The third: a model, and a search that has found it."""
    from trainer_image.train import train
    from tuning.options import Search
    from tuning.search import tune

    train(options(run))
    shutil.copytree(run.model, run.search / "trials" / "given" / "model")
    (run.search / "lock").touch()
    tune(options(run, output_path=str(run.search)), Search(trials=1, k=KS[0]))


def write_release(run: Run) -> None:
    """The last two: an evaluation whose gate asks for little, and a release."""
    from components.evaluator.evaluate import evaluate
    from components.exporter.export import export

    model, examples, evaluation = str(run.model), str(run.examples), str(run.evaluation)
    evaluate(
        model=model,
        examples=examples,
        vocabularies=str(run.vocabularies),
        output_path=evaluation,
        ks=KS,
        must_beat="none",
    )
    export(model=model, examples=examples, evaluation=evaluation, output_path=str(run.release))


def make(folder: Path, *, whole: bool = True) -> tuple[Run, Run]:
    """Makes two runs on logs of the same customers and products.

    Args:
        folder: Gets a folder for each.
        whole: Whether they come to an end; else the first has a model, and the second examples and vocabularies.
    """
    runs = Run(folder / "one"), Run(folder / "two")
    for seed, run in enumerate(runs):
        write_log(run, seed)
        write_data(run)
        if whole or not seed:
            write_model(run)
        if whole:
            write_release(run)
    for run, other in (runs, runs[::-1]):
        shutil.copy(other.metadata, run.optional["previous_metadata"])
    return runs
