"""The pipeline: purchase log in, released retrieval model out. Five steps, one straight line."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.data_extractor.component import data_extractor
from components.evaluator.component import evaluator
from components.exporter.component import exporter
from components.trainer.component import trainer
from components.vocab_builder.component import vocab_builder
from pipelines.steps import STANDARD, Settings, on_machine, set_up


def training(settings: Settings = STANDARD) -> Any:
    """The pipeline.

    Args:
        settings: How its steps run, checked.
    """

    @dsl.pipeline(name="metro-recs-training", description="Two-tower retrieval from a retailer's purchase log.")
    def pipeline(
        purchases: str,
        products: str,
        feature_config: str,
        split: str = "temporal",
        train_share: float = 0.8,
        validation_share: float = 0.15,
        catalogue_size: int = 0,
        min_purchases: int = 1,
        revenue_as_of: str = "training",
        thresholds: str = "",
        previous_metadata: str = "",
        project: str = "",
        temp_dataset: str = "",
        location: str = "",
        max_bytes_billed: int = 0,
        labels: dict = {},  # noqa: B006  KFP wants a dict, and never calls this function twice
        beam_options: str = "",
        epochs: int = 150,
        batch_size: int = 4096,
        learning_rate: float = 0.001,
        lr_scaling: str = "sqrt",
        warmup_steps: int = 1000,
        loss: str = "auto",
        temperature: float = 1.0,
        l1: float = 1e-6,
        precision: str = "float32",
        patience: int = 10,
        top_k: int = 100,
        seed: int = 42,
        warm_start_from: str = "",
        checkpoint_path: str = "",
        history_through: str = "validation",
        refit: bool = False,
        ablate: bool = False,
        ablation_seeds: int = 3,
        mix: bool = False,
        champion: str = "",
        ks: list = [5, 10, 50, 100],  # noqa: B006  KFP wants a list, and never calls this function twice
        must_beat: str = "popularity",
        margin: float = 0.01,
        slice_margin: float = 0.05,
        min_coverage: float = 0.01,
        floors: dict = {},  # noqa: B006
        region: str = "",
        model_name: str = "",
        serving_image: str = "",
        endpoint_name: str = "",
        traffic: int = 100,
        serving_machine: str = "n1-standard-4",
        serving_account: str = "",
        index_name: str = "",
        index_endpoint_name: str = "",
        staging: str = "",
    ):
        """Extract, build vocabularies, train, evaluate, and release what the gate lets pass.

        Args:
            purchases: The purchase log: a BigQuery table (project.dataset.table) or a Parquet path.
            products: The product table, of the same sort.
            feature_config: The feature config's text, YAML or JSON.
            split: temporal, or random by a stable hash.
            train_share: Share of the rows that go to training.
            validation_share: Share of the rows that go to validation; the rest is the test split.
            catalogue_size: Keep the products bought by the most customers; 0 keeps all.
            min_purchases: Keep only products bought at least this often.
            revenue_as_of: What revenue holds: training, the customer's total of the whole training period; purchase,
                that before the purchase.
            thresholds: Limits on what the data report finds, YAML or JSON; "" keeps the defaults.
            previous_metadata: The metadata.json of an earlier run, to measure drift against.
            project: Google Cloud project that pays for the query, and whose Vertex AI gets the release.
            temp_dataset: BigQuery dataset (project.dataset) for the query's temporary results.
            location: Where the BigQuery jobs run; by default where the tables are.
            max_bytes_billed: Refuse BigQuery jobs that would bill more bytes; 0 sets no limit.
            labels: Labels of the BigQuery jobs.
            beam_options: Apache Beam options; "" runs in one process, --runner=DataflowRunner needs what README.md
                lists.
            epochs: Passes over the training rows, at most.
            batch_size: Rows a step, per replica.
            learning_rate: Of Adam, on one replica, after the warm-up.
            lr_scaling: How the learning rate grows with replicas: sqrt, linear or none.
            warmup_steps: Steps over which the learning rate rises to its value; at most a tenth of all.
            loss: auto, full-catalogue or in-batch.
            temperature: The logits are divided by it in training.
            l1: L1 penalty on the towers' Dense kernels.
            precision: float32 or bfloat16, of the towers' arithmetic.
            patience: Epochs after the warm-up without a better validation Recall before training stops.
            top_k: How many products the Trainer's saved_model returns; the released one is asked for k.
            seed: The same seed and data give the same model.
            warm_start_from: model/ of an earlier run, whose weights to begin with; "" begins at random.
            checkpoint_path: A folder for the Trainer's checkpoints, from which a retried task continues; by default
                checkpoints/ in the run's folder.
            history_through: The last split whose purchases the finished model knows, where it has a history: train or
                validation.
            refit: Train once more on train and validation together, for as many epochs as were best: the released model
                has learned from all that comes before the test.
            ablate: Train again without category and subcategory, and measure what they are worth.
            ablation_seeds: How many seeds do so, each with and without them.
            mix: Artifacts may be of other runs than those that they are used with, such as vocabularies of other
                examples; it is for what begins with artifacts that are there.
            champion: model/ of the model in production, to compare with on the same purchases; "" where there is none.
            ks: Cut-offs of Recall@k; the gate looks at the largest.
            must_beat: The baseline to beat: popularity, popularity_by_city, personal_frequency, ease, best or none.
            margin: Recall may be this much below the champion's, at the lower end of the difference's 95% interval.
            slice_margin: In no slice may Recall clearly be further than this below the champion's.
            min_coverage: The least share of the catalogue that must be in at least one customer's first ten.
            floors: The least Recall in slices, for example {"all": 0.2, "history.explore": 0.02}.
            region: Vertex AI's region, which gets the release, for example europe-west3.
            model_name: The model's id in the Model Registry, where the release becomes a version; "" registers nothing.
            serving_image: The container that serves it, with its registry.
            endpoint_name: Display name of the endpoint that the version is deployed to; "" deploys nowhere.
            traffic: Percent of the endpoint's requests that the new version gets.
            serving_machine: Machine type that serves it.
            serving_account: Service account of the serving containers; by default Vertex AI's own.
            index_name: Display name of the Vector Search index that gets the embeddings; "" fills none.
            index_endpoint_name: Display name of the index endpoint; "" deploys the index nowhere.
            staging: gs://BUCKET/PATH to copy a release to that is in no bucket.
        """
        given = locals()
        extracted = data_extractor(**_taken(data_extractor, given))
        examples = extracted.outputs["examples"]
        counted = vocab_builder(examples=examples, **_taken(vocab_builder, given))
        vocabularies = counted.outputs["vocabularies"]
        for task in (extracted, counted):
            set_up(task, settings)
        train_and_release({**given, "examples": examples, "vocabularies": vocabularies}, settings)

    return pipeline


def train_and_release(given: Mapping[str, Any], settings: Settings, is_rerun: bool = False) -> None:
    """The pipeline's steps from the Trainer on.

    Args:
        given: The pipeline's parameters, and the artifacts examples and vocabularies.
        settings: How the steps run, checked.
        is_rerun: They were asked for by name, so no cache answers.
    """
    trained = on_machine(trainer, settings.machine)(**_taken(trainer, given))
    model = trained.outputs["model"]
    evaluated = evaluator(model=model, **_taken(evaluator, given))
    released = exporter(model=model, evaluation=evaluated.outputs["evaluation"], **_taken(exporter, given))
    for task in (trained, evaluated, released):
        set_up(task, settings, is_rerun)


def _taken(component: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """A component takes what is given under the names of its inputs."""
    return {name: given[name] for name in component.component_spec.inputs if name in given}
