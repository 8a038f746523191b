import numpy as np

from benchmarks import ceiling


def test_flops_of_a_step_by_hand() -> None:
    # Towers 3 → 2 → 1 and 4 → 2 → 1 over 10 queries and 5 products: 10 (6 + 2) + 5 (8 + 2) + 10 · 5 · 1 multiply-adds.
    found = ceiling.flops_per_step(queries=10, candidates=5, query_width=3, candidate_width=4, layers=(2, 1))
    assert found == 2 * 3 * (80 + 50 + 50)


def test_flops_of_the_default_model_are_those_that_tensorflow_counts() -> None:
    """TensorFlow's own profiler on the forward pass; backward is twice that."""
    import tensorflow as tf
    from tensorflow.python.profiler import model_analyzer, option_builder

    weights = {
        width: [tf.zeros(shape) for shape in ((width, 128), (128, 64), (64, 32))]
        for width in (ceiling.QUERY_WIDTH, ceiling.CANDIDATE_WIDTH)
    }

    @tf.function(input_signature=[tf.TensorSpec([64, 81]), tf.TensorSpec([30, 88])])
    def forward(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        for place in range(3):
            queries = queries @ weights[81][place]
            candidates = candidates @ weights[88][place]
        return tf.matmul(queries, candidates, transpose_b=True)

    options = option_builder.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    graph = forward.get_concrete_function().graph
    counted = model_analyzer.profile(graph, options=options).total_float_ops
    assert ceiling.flops_per_step(queries=64, candidates=30) == 3 * counted


def test_matmul_gives_a_speed_for_every_shape() -> None:
    shapes = ((64, 32, 16), (128, 8, 8))
    found = ceiling.matmul_gflops(shapes, rounds=1)
    assert tuple(found) == shapes
    assert all(np.isfinite(speed) and speed > 0 for speed in found.values())
