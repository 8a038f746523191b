"""The Trainer's flags: what a run is told."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from components.common.errors import InputError, expect_at_least, expect_choice
from components.common.shipped import FEATURE_CONFIG

Loss = Literal["auto", "full-catalogue", "in-batch"]
Scaling = Literal["sqrt", "linear", "none"]
Precision = Literal["float32", "bfloat16"]
Through = Literal["train", "validation"]

KS = (5, 10, 50, 100)  # of the Recalls that training watches
PATHS = ("tfrecords_path", "vocabularies_path", "metadata_path", "output_path", "checkpoint_path")
CHANGEABLE = ("epochs", "patience", "learning_rate", "lr_scaling", "warmup_steps")  # from one part of a run to the next
OF_THE_MACHINE = ("checkpoint_minutes", "cache_gib", "cluster_timeout", "feature_config", "mix")
AFTERWARDS = ("ablate", "ablation_seeds", "history_through", "refit")  # the weights are the same, so a run may continue
ELSEWHERE = ("loss", "top_k")  # auto is replaced by what it chose; top_k is no matter of training


def within(products: int) -> list[int]:
    """The KS within half a catalogue of so many products, the smallest at least: Recall@N is always 1."""
    return [k for k in KS if k <= products / 2] or [KS[0]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a training run is told.

    Args:
        tfrecords_path: Folder with train/, validation/ and test/, or a folder or glob of shards to split 80-15-5.
        vocabularies_path: vocabularies.json of the VocabBuilder, or {column: [tokens]}.
        output_path: Where model/ goes: saved_model/, query_model/, candidate_model/, weights.npz, logs/,
            model_metadata.json.
        metadata_path: metadata.json of the DataExtractor, or {product id: {art_name, category, subcategory}}; by
            default that in the folder of the shards or, where nobody split them, beside it. Such shards may do without:
            what is known of a product is then what its rows say.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step, per replica. With the full-catalogue loss a step takes whole queries, in the default
            config all rows of a customer: as many queries as hold this many rows on average.
        learning_rate: Of Adam, on one replica, after the warm-up.
        lr_scaling: How the learning rate grows with the number of replicas.
        warmup_steps: Steps over which the learning rate rises to its value; at most a tenth of all that there can be.
        feature_config: Path to the feature config, or its YAML or JSON text; by default the one that is shipped.
        loss: Softmax over the full catalogue or in-batch; auto takes the cheaper one.
        temperature: The logits are divided by it in training; below 1 the softmax is sharper.
        l1: L1 penalty on the towers' Dense kernels.
        patience: Epochs without a better validation Recall@100 (a smaller k for small catalogues) before it stops;
            they count after the warm-up.
        top_k: How many products saved_model returns.
        seed: Of the initial weights and of the order of the rows: the same seed gives the same model, on CPUs bit for
            bit.
        warm_start_from: model/ of an earlier run, with whatever vocabulary, whose weights to begin with.
        checkpoint_path: Where checkpoints go, local or gs://; by default beside output_path. Workers must share it.
        checkpoint_minutes: A checkpoint is written this often, and at the end of epochs.
        cache_gib: Memory that the encoded rows may take, in GiB; beyond it they are kept on local disk.
        precision: Of the towers' arithmetic; weights, softmax and the exported models are float32.
        jit_compile: Compile forward and backward pass with XLA.
        cluster_timeout: Seconds to wait for the workers that TF_CONFIG names.
        history_through: The last split whose purchases the finished model knows: with a feature of kind history, what
            a customer bought in validation counts in what it is recommended, though the weights learn from train
            alone. Without such a feature it changes nothing.
        refit: Afterwards, train once more from the beginning, for as many epochs as were best, on train and validation
            together. The finished model has learned from all that comes before the test; validation Recall in
            model_metadata.json is that of the first training. About doubles the time.
        ablate: Afterwards, train again without category, subcategory and their crosses, and say in model_metadata.json
            what difference they make (`metadata_impact`). Takes as long as 2 * ablation_seeds trainings in all.
        ablation_seeds: How many seeds, from `seed` on, to compare with and without them. With one, the interval knows
            nothing of how much seeds differ.
        mix: The vocabularies may be of other examples than these.
    """

    tfrecords_path: str
    vocabularies_path: str
    output_path: str
    metadata_path: str = ""
    epochs: int = 150
    batch_size: int = 4096
    learning_rate: float = 0.001
    lr_scaling: Scaling = "sqrt"
    warmup_steps: int = 1000
    feature_config: str = FEATURE_CONFIG
    loss: Loss = "auto"
    temperature: float = 1.0
    l1: float = 1e-6
    patience: int = 10
    top_k: int = 100
    seed: int = 42
    warm_start_from: str = ""
    checkpoint_path: str = ""
    checkpoint_minutes: float = 5.0
    cache_gib: float = 4.0
    precision: Precision = "float32"
    jit_compile: bool = False
    cluster_timeout: float = 600.0
    history_through: Through = "validation"
    refit: bool = False
    ablate: bool = False
    ablation_seeds: int = 3
    mix: bool = False

    def check(self) -> None:
        """Raises InputError for a flag out of its range: the pipeline hands on values that no flag parser saw."""
        for flag, text, choices in (
            ("--loss", self.loss, get_args(Loss)),
            ("--lr-scaling", self.lr_scaling, get_args(Scaling)),
            ("--precision", self.precision, get_args(Precision)),
            ("--history-through", self.history_through, get_args(Through)),
        ):
            expect_choice(flag, text, choices)
        if self.refit and self.history_through != "validation":
            expected = "validation, from which --refit learns"
            raise InputError("--history-through", self.history_through, expected, "Leave one of the two out.")
        for flag, value, least in (
            ("--epochs", self.epochs, 1),
            ("--batch-size", self.batch_size, 1),
            ("--learning-rate", self.learning_rate, 0),
            ("--warmup-steps", self.warmup_steps, 0),
            ("--temperature", self.temperature, 1e-3),
            ("--l1", self.l1, 0),
            ("--patience", self.patience, 1),
            ("--top-k", self.top_k, 1),
            ("--seed", self.seed, 0),
            ("--checkpoint-minutes", self.checkpoint_minutes, 0),
            ("--cache-gib", self.cache_gib, 0),
            ("--cluster-timeout", self.cluster_timeout, 1),
            ("--ablation-seeds", self.ablation_seeds, 1),
        ):
            expect_at_least(flag, value, least)

    @property
    def checkpoints(self) -> str:
        return self.checkpoint_path or f"{self.output_path.rstrip('/')}.checkpoints"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the model depends on beside its input, for model_metadata.json."""
        left_out = (*PATHS, *OF_THE_MACHINE, *AFTERWARDS)
        return {key: value for key, value in asdict(self).items() if key not in left_out}

    @property
    def changeable(self) -> dict[str, Any]:
        """What may be another value when a run continues."""
        return {key: getattr(self, key) for key in CHANGEABLE}

    @property
    def fixed(self) -> dict[str, Any]:
        """What must be the same when a run continues, beside data, loss and replicas."""
        left_out = (*CHANGEABLE, *ELSEWHERE)
        return {key: value for key, value in self.hyperparameters.items() if key not in left_out}
