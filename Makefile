# The two commands are `make run` and `make test`; both do all the set-up they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)
# Every process imports TensorFlow, and compiling its sources each time takes longer than the import.
export PYTHONDONTWRITEBYTECODE :=
export TF_CPP_MIN_LOG_LEVEL ?= 3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run tune test test-slow lint bench-data bench-train bench-scale bench-recall bench-warm bench-eval \
  bench-quality bench-serve serve compile images image-dataflow push push-dataflow registry-named lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/ready  ## the whole pipeline on the demo data; ARGS="--split random" and so on, ARGS=--help lists them
	$(BIN)/python -m demo.run $(ARGS)

tune: $(VENV)/ready  ## searches better settings than those of the newest `make run`; ARGS="--trials 50" and so on (about an hour)
	$(BIN)/python -m demo.tune $(ARGS)

# A module's tests stay together, in one of two processes, so that they share what they have trained or started.
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

test: $(VENV)/ready  ## linters, type checker and all fast tests; ARGS="-k trainer -p no:randomly"
	@$(MAKE) --no-print-directory lint >$(VENV)/lint.log 2>&1 & lint=$$!; \
	$(PYTEST) -m "not slow" $(ARGS); tests=$$?; \
	wait $$lint; linted=$$?; cat $(VENV)/lint.log; exit $$(( tests ? tests : linted ))

test-slow: $(VENV)/ready  ## the tests that take longer
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/ready  ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench-data: $(VENV)/ready  ## the data plane beside the obvious Beam pipelines: rows/s, memory (about ten minutes)
	$(BIN)/python -m benchmarks.data $(ARGS)

bench-train: $(VENV)/bench-ready  ## the Trainer beside stock TFRS and PyTorch: examples/s, time to a Recall (about 25 minutes)
	$(BIN)/python -m benchmarks.train $(ARGS)

bench-scale: $(VENV)/ready  ## twenty million purchases to a saved model, and what more rows cost (about half an hour)
	$(BIN)/python -m benchmarks.scale $(ARGS)

bench-recall: $(VENV)/ready  ## what grouping and row-wise Adam do to Recall, three seeds (about a quarter of an hour)
	$(BIN)/python -m benchmarks.recall $(ARGS)

bench-warm: $(VENV)/ready  ## epochs that a warm start saves (about six minutes)
	$(BIN)/python -m benchmarks.warm_start $(ARGS)

bench-eval: $(VENV)/ready  ## exact ranks beside TFRS's FactorizedTopK, and the demo's evaluation (about six minutes)
	$(BIN)/python -m benchmarks.eval $(ARGS)

bench-quality: $(VENV)/ready  ## Recall on five logs beside baselines and stock TFRS, three seeds (hours; ARGS="--logs temporal" about one)
	$(BIN)/python -m benchmarks.quality $(ARGS)

bench-serve: $(VENV)/ready  ## the HTTP server beside plain FastAPI: requests/s, latencies, a soak, bad requests (ten minutes)
	$(BIN)/python -m benchmarks.serve $(ARGS)

serve: $(VENV)/ready  ## the demo's newest release over HTTP, with a page at http://127.0.0.1:8080; ARGS="--port 0"
	$(BIN)/python -m demo.serve $(ARGS)

compile: $(VENV)/ready  ## writes pipeline.json, pipeline.yaml and reruns/
	$(BIN)/python compile.py

# Images. IMAGE_REGISTRY and TAG name them as compile.py does; CPU=1 leaves CUDA out of the trainer image.
DOCKER ?= docker
IMAGE_REGISTRY ?=
TAG ?= latest
CPU ?=
NAMES := $(if $(IMAGE_REGISTRY),$(IMAGE_REGISTRY:/=)/)metro-recs
BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build --build-arg TAG=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) $(ARGS)

images:  ## builds the three container images; IMAGE_REGISTRY=…, TAG=…, CPU=1, ARGS="--network=host" and so on
	$(BUILD) --file components/Dockerfile --tag $(NAMES)/data:$(TAG) .
	$(BUILD) --file trainer_image/Dockerfile --tag $(NAMES)/trainer:$(TAG) \
	  --build-arg TENSORFLOW=$(if $(CPU),cpu,gpu) .
	$(BUILD) --file serving_image/Dockerfile --tag $(NAMES)/serving:$(TAG) .

image-dataflow:  ## builds the data image for Dataflow's workers, with Beam's boot from Beam's own image
	$(BUILD) --file components/Dockerfile --target dataflow --tag $(NAMES)/dataflow:$(TAG) .

push: registry-named  ## pushes the images to IMAGE_REGISTRY
	$(DOCKER) push $(NAMES)/data:$(TAG)
	$(DOCKER) push $(NAMES)/trainer:$(TAG)
	$(DOCKER) push $(NAMES)/serving:$(TAG)

push-dataflow: registry-named  ## pushes the image for Dataflow to IMAGE_REGISTRY
	$(DOCKER) push $(NAMES)/dataflow:$(TAG)

registry-named:
	$(if $(IMAGE_REGISTRY),,$(error Say where to: make push IMAGE_REGISTRY=europe-west3-docker.pkg.dev/my-project))

# The lock is complete, so nothing is resolved again: what was tested is what is installed. uv takes a ninth of pip's time.
UV := $(BIN)/python -m uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes

$(VENV)/ready: $(VENV)/uv requirements/all.txt
	$(INSTALL) -r requirements/all.txt
	touch $@

$(VENV)/uv: requirements/install.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/install.txt
	touch $@

# What the peers of `make bench-train` need on top of it: PyTorch, with CUDA's libraries, takes gigabytes.
$(VENV)/bench-ready: $(VENV)/ready requirements/bench.txt
	$(INSTALL) -r requirements/bench.txt
	touch $@

GROUPS := $(foreach group,data train serve pipeline demo tune dev,--group $(group))
RESOLVE := $(UV) pip compile --quiet --python-version 3.11 --generate-hashes \
  --custom-compile-command "make lock"
# What the images get: the same pins, for the platform they run on. libclang is a compiler that nothing here imports.
RESOLVE_IMAGE := $(RESOLVE) --python-platform x86_64-manylinux_2_28 --constraint requirements/all.txt \
  --no-emit-package libclang
# Options that leave out what all.txt has, but for the package $(1).
LOCKED = $$(sed -nE '/^$(1)==/d; s/^([a-z0-9._-]+)==.*/--no-emit-package \1/p' requirements/all.txt)

lock: $(VENV)/uv  ## resolves pyproject.toml's groups into requirements/
	$(RESOLVE) --universal --group install -o requirements/install.txt
	$(RESOLVE) --universal $(GROUPS) -o requirements/all.txt
	$(RESOLVE) --universal --group bench --constraint requirements/all.txt $(LOCKED) -o requirements/bench.txt
	$(RESOLVE_IMAGE) --group build -o requirements/build.txt
	$(RESOLVE_IMAGE) --group data --group executor --no-emit-package tensorflow -o requirements/data-image.txt
	$(RESOLVE_IMAGE) --group train --group executor --no-emit-package tensorflow -o requirements/trainer-image.txt
	$(RESOLVE_IMAGE) --group serve --no-emit-package tensorflow -o requirements/serving-image.txt
	$(RESOLVE_IMAGE) --group tensorflow-cpu $(LOCKED) -o requirements/tensorflow-cpu.txt
	$(RESOLVE_IMAGE) --group tensorflow-gpu $(call LOCKED,tensorflow) -o requirements/tensorflow-gpu.txt

clean:  ## removes runs and caches, not .venv
	rm -rf runs .cache .pytest_cache .mypy_cache .ruff_cache
