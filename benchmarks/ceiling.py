"""How fast this machine multiplies matrices, and how much of that a training step needs: the arithmetic ceiling."""

import time
from collections.abc import Sequence

import trainer_image  # noqa: F401  sets the environment before TensorFlow is imported

# isort: split
import tensorflow as tf

BATCH, LAYERS = 4096, (128, 64, 32)
QUERY_WIDTH, CANDIDATE_WIDTH = 64 + 1 + 16, 32 + 16 + 24 + 16  # inputs of the default feature_config.yaml
SQUARE = ((1024, 1024, 1024), (2048, 2048, 2048))
ROUNDS = 5

Shape = tuple[int, int, int]


def matmul_gflops(shapes: Sequence[Shape], rounds: int = ROUNDS) -> dict[Shape, float]:
    """GFLOP/s of float32 tf.matmul on all cores, two operations a multiply-add.

    Args:
        shapes: (m, k, n) of [m, k] @ [k, n].
        rounds: The shapes are measured in turn, that many times; the best counts.

    Returns:
        {shape: GFLOP/s}.
    """
    best = dict.fromkeys(shapes, 0.0)
    for _ in range(rounds):
        for m, k, n in shapes:
            left, right = tf.random.normal([m, k]), tf.random.normal([k, n])
            operations = 2 * m * k * n
            repeats = min(max(1, round(1e10 / operations)), 200)  # a tenth of a second or less
            tf.matmul(left, right)
            started = time.perf_counter()
            for _ in range(repeats):
                product = tf.matmul(left, right)
            float(product[0, 0])  # waits for the device
            speed = repeats * operations / (time.perf_counter() - started) / 1e9
            best[m, k, n] = max(best[m, k, n], speed)
    return best


def model_shapes(candidates: int, queries: int = BATCH) -> tuple[Shape, ...]:
    """The largest products of a step: the first Dense layer of both towers, and the logits."""
    first, last = LAYERS[0], LAYERS[-1]
    return (queries, QUERY_WIDTH, first), (candidates, CANDIDATE_WIDTH, first), (queries, last, candidates)


def peak_gflops(candidates: int, queries: int = BATCH) -> float:
    """The best of two square products and those of the model: what no training step on this machine exceeds."""
    return max(matmul_gflops((*SQUARE, *model_shapes(candidates, queries))).values())


def flops_per_step(
    *,
    queries: int,
    candidates: float,
    query_width: int = QUERY_WIDTH,
    candidate_width: int = CANDIDATE_WIDTH,
    layers: Sequence[int] = LAYERS,
) -> float:
    """Floating-point operations of the matrix products of one step, forward and backward.

    Two operations a multiply-add. Backward computes a product for each of its two operands, so a step costs three
    times its forward pass. Softmax, embedding rows and Adam are left out: they are memory traffic, not arithmetic.

    Args:
        queries: Rows of the global batch, B.
        candidates: Products that the candidate tower embeds and that every query is scored against: all N for the
            full-catalogue loss, B for in-batch negatives.
        query_width, candidate_width: Inputs of the towers' first Dense layers.
        layers: Widths of the Dense layers of both towers; the last is the embedding's.
    """

    def tower(width: int) -> int:
        return sum(inner * outer for inner, outer in zip((width, *layers[:-1]), layers, strict=True))

    scores = queries * candidates * layers[-1]
    return 3 * 2 * (queries * tower(query_width) + candidates * tower(candidate_width) + scores)
