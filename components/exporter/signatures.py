"""The signatures of the served model, a TFRS index of the whole catalogue over the query tower.

It is built from the Trainer's SavedModels and the product lookup, and loads with TensorFlow alone. Its signatures:

| signature | inputs | outputs |
|---|---|---|
| `recommend`, `serving_default` | the customer's columns, `k` | the products' columns |
| `recommend_excluding` | the same, `exclude`, `category` | the same, of the products that are left |
| `similar_products` | `product_id`, `k` | the same without the product itself; scores are cosines of embeddings |
| `query_embedding` | the customer's columns | `embedding` float32 [B, D] |
| `candidate_embedding` | the product's columns, each [B] | `embedding` float32 [B, D] |

| input | type and shape | left out |
|---|---|---|
| the customer's columns, as the feature config names them | string, float32 or int64 [1 or B] | an unknown text (`""`); NaN, a number that counts as the median of training; the moment of the request |
| `k`, how many products | int32 [1 or B] | 100, or the whole catalogue |
| `exclude`, product ids not to show | int64 [1 or B, E], filled up with -1; ids that are not in the catalogue are passed over | none |
| `category`, of which the products must be | string [1 or B] | `""`, all |
| `product_id` | int64 [B]; one that is not in the catalogue has no similar products | must be given |

| output | type and shape | where a row has no further product |
|---|---|---|
| `product_ids` | int64 [B, K], best first | -1 |
| `product_names`, `categories`, `subcategories` | string [B, K] | `""` |
| `scores` | float32 [B, K] | -infinity |

B is the one size other than 1 among the inputs, or 1. K is the largest k, at most the catalogue. Scores are dot
products of embeddings, in float64 and rounded to float32 as the Evaluator's are; equal ones stand in the order of the
catalogue. A request takes 13 bytes for each of its B times N scores. A row of numbers that could be anybody's, such as
that of a customer whom training has not seen, is answered from the other columns.

TensorFlow Serving and the sessions of TensorFlow 1 fill in what is left out. In Python `loaded.recommend(…)` does, while
`loaded.signatures["recommend"](…)` wants every input: TensorFlow 2.21 does not read a signature's defaults there.
"""

import numpy as np

from components.common import schema

RECOMMEND, EXCLUDING, SIMILAR = "recommend", "recommend_excluding", "similar_products"
QUERY_EMBEDDING, CANDIDATE_EMBEDDING = "query_embedding", "candidate_embedding"
OF_CUSTOMERS, OF_PRODUCTS = (RECOMMEND, EXCLUDING, QUERY_EMBEDDING), (SIMILAR, CANDIDATE_EMBEDDING)

K, EXCLUDE, CATEGORY = schema.REQUEST  # inputs that no column of the customer's may be named as
MOST_SHOWN = 100  # the default of k, where the catalogue has as many
NOW = np.iinfo(np.int64).min  # stands for the moment of the request
NO_PRODUCT = -1  # the id where a row has no further product

IDS, SCORES = "product_ids", "scores"
TEXTS = {"product_names": "names", "categories": "categories", "subcategories": "subcategories"}  # and the Catalogue's
