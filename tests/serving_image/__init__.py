import pytest

pytest.register_assert_rewrite("tests.serving_image.shop")  # so that its `check` tells what differs, as a test does
