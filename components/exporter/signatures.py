"""The signatures of the served model, a TFRS index of the whole catalogue over the query tower.

It is built from the Trainer's SavedModels and the product lookup, and loads with TensorFlow alone. Its signatures:

| signature | inputs | outputs |
|---|---|---|
| `recommend`, `serving_default` | the customer's columns, `k` | the products' columns |
| `recommend_excluding` | the same, `exclude`, `category` | the same, of the products that are left |
| `similar_products` | `product_id`, `k` | the same without the product itself; scores are cosines of embeddings |
| `query_embedding` | the customer's columns | `embedding` float32 [B, D] |
| `candidate_embedding` | the product's columns, each [B] | `embedding` float32 [B, D] |

The model of a Trainer that was given a history answers, besides, from what a customer bought. All the above take it
from a table of known customers inside the model; one signature more takes it from the request, for customers who
are new or have bought since:

| signature | inputs | outputs |
|---|---|---|
| `recommend_from_history` | the customer's columns, `history_products`, `history_ages`, `k`, `exclude` | the same |
| `query_embedding` | the customer's columns | `embedding`, `own_products` int64 and `own_scores` float32 [B, H] |

| input | is | left out |
|---|---|---|
| the customer's columns, as the feature config names them | string, float32 or int64 [1 or B] | see below |
| `k`, how many products | int32 [1 or B] | 100, or the whole catalogue |
| `exclude`, ids not to show, filled up with -1; unknown ones are passed over | int64 [1 or B, E] | none |
| `category`, of which the products must be | string [1 or B] | `""`, all |
| `history_products`, an id for each purchase, filled up with -1 | int64 [1 or B, E] | none: what the table knows |
| `history_ages`, days since each of these purchases | float32 [1 or B, E] | none |
| `product_id`; an unknown one has no similar products | int64 [1 or B] | must be given |

| output | is | where a row has no further product |
|---|---|---|
| `product_ids` | int64 [B, K], best first | -1 |
| `product_names`, `categories`, `subcategories` | string [B, K] | `""` |
| `scores` | float32 [B, K] | -infinity |

B is the one size other than 1 among the inputs, or 1. K is the largest k, at most the catalogue. A text that is left
out is `""`, as a missing one is in the Examples; a number is NaN, which counts as the median of training; a time is the
moment of the request. A customer whom training has not seen is answered from the other columns.

Scores are dot products of embeddings, in float64 and rounded to float32 as the Evaluator's are; equal ones stand in the
order of the catalogue. A request takes 13 bytes for each of its B times N scores.

With a history, the terms of the customer's own products, `own_scores` of `own_products`, are added to the products of
embeddings in float64, before the sum is rounded. What is to be excluded stays excluded. A row of `history_products`
without any purchase is answered from the table, as the other signatures answer.

TensorFlow Serving and the sessions of TensorFlow 1 fill in what is left out. In Python `loaded.recommend(…)` does, and
`loaded.signatures["recommend"](…)` wants every input: TensorFlow 2.21 records a signature's defaults and does not read
them there.
"""

import numpy as np

from components.common import schema

RECOMMEND, EXCLUDING, SIMILAR = "recommend", "recommend_excluding", "similar_products"
FROM_HISTORY = "recommend_from_history"
QUERY_EMBEDDING, CANDIDATE_EMBEDDING = "query_embedding", "candidate_embedding"
OF_CUSTOMERS, OF_PRODUCTS = (RECOMMEND, EXCLUDING, QUERY_EMBEDDING), (SIMILAR, CANDIDATE_EMBEDDING)

K, EXCLUDE, CATEGORY = schema.REQUEST  # inputs that no column of the customer's may be named as, nor as the next two
HISTORY_PRODUCTS, HISTORY_AGES = schema.HISTORY
MOST_SHOWN = 100  # the default of k, where the catalogue has as many
NOW = np.iinfo(np.int64).min  # stands for the moment of the request
NO_PRODUCT = schema.NO_PRODUCT  # the id where a row has no further product

IDS, SCORES = "product_ids", "scores"
TEXTS = {"product_names": "names", "categories": "categories", "subcategories": "subcategories"}  # and the Catalogue's
