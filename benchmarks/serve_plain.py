"""The peer of `make bench-serve`: the same SavedModel behind the plainest FastAPI handler, as tutorials write it."""

import os
from typing import Any

import tensorflow as tf
from fastapi import FastAPI
from pydantic import BaseModel

RELEASE = "BENCH_RELEASE"  # the environment variable that names the folder of the SavedModel


class Instance(BaseModel):
    """The default feature config's customer."""

    cust_person_id: str = ""
    revenue: float = 0.0
    city: str = ""
    k: int = 10


class Request(BaseModel):
    """The body that Vertex AI sends."""

    instances: list[Instance]


app = FastAPI()
model = tf.saved_model.load(os.environ[RELEASE])
recommend = model.signatures["recommend"]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/predict")
def predict(request: Request) -> dict[str, list[dict[str, Any]]]:
    instances = request.instances
    outputs = recommend(
        cust_person_id=tf.constant([instance.cust_person_id for instance in instances]),
        revenue=tf.constant([instance.revenue for instance in instances]),
        city=tf.constant([instance.city for instance in instances]),
        k=tf.constant([instance.k for instance in instances]),
    )
    values = {name: value.numpy().tolist() for name, value in outputs.items()}
    return {"predictions": [{name: values[name][row] for name in values} for row in range(len(instances))]}
