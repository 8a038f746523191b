"""What is shipped beside the code, in every image and checkout."""

import os

# Whatever the current folder is. The repository's feature_config.yaml is a link to this file.
FEATURE_CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "feature_config.yaml")
