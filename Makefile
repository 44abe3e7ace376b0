# Digit Recognizer. `make` alone prints this list.

BACKEND ?= $(KERAS_BACKEND)
GPU ?=
CONFIG ?=
DATA ?=
RUN ?=
# Only from the command line: some systems keep the machine's name in the environment's NAME.
NAME :=
WORKERS ?=
SCHEDULER ?=
SET ?=
FILE ?=
A ?=
B ?=
METHODS ?=
SPACES ?=
PRESET ?=
PORT ?=
SPACE ?=
TRIALS ?=
HOURS ?=
LISTEN ?=
CHIEF ?=
IMAGES ?=
SPLIT ?=
ROWS ?=
PYTHON ?=
SECONDS ?=
TARGETS ?=

REQUIREMENTS := configs/requirements

ifneq ($(or $(filter-out tensorflow jax,$(BACKEND)),$(word 2,$(BACKEND))),)
$(error BACKEND=$(BACKEND) is not known; the backends are tensorflow (the default) and jax)
endif
ifneq ($(BACKEND),)
export KERAS_BACKEND := $(BACKEND)
endif

# An environment for each backend: JAX's holds no TensorFlow, and the CUDA builds need not agree on NVIDIA's libraries.
ifeq ($(BACKEND),jax)
VENV := .venv-jax
# XLA takes the memory of every step anew: in huge pages `strided` trains 1.3 times as fast on a processor.
export GLIBC_TUNABLES := glibc.malloc.hugetlb=1
CPU_LOCK := $(REQUIREMENTS)/jax.txt
CUDA_LOCK := $(REQUIREMENTS)/jax-cuda.txt
else
VENV := .venv
CPU_LOCK := requirements.txt
CUDA_LOCK := $(REQUIREMENTS)/cuda.txt
endif

# The CUDA build where there is an NVIDIA GPU, unless GPU=0 refuses it. An environment that has it keeps it: it also runs
# without a GPU. The stamp `installed` holds the lock that the environment was made from.
INSTALLED_LOCK := $(shell cat $(VENV)/installed 2>/dev/null)
ifeq ($(INSTALLED_LOCK),$(CUDA_LOCK))
LOCK := $(CUDA_LOCK)
else ifeq ($(GPU),0)
LOCK := $(CPU_LOCK)
else
LOCK := $(shell test "$$(uname -sm)" = "Linux x86_64" && nvidia-smi -L >/dev/null 2>&1 \
	&& echo $(CUDA_LOCK) || echo $(CPU_LOCK))
endif
ifneq ($(INSTALLED_LOCK),$(LOCK))
.PHONY: $(VENV)/installed
endif
ifeq ($(GPU),0)
export CUDA_VISIBLE_DEVICES := -1
# JAX's CUDA build fails where it sees no GPU, unless told to do without.
export JAX_PLATFORMS := cpu
endif

DIGITS := $(VENV)/bin/python -m digits
quote = '$(subst ','\'',$(1))'
option = $(if $(2),--$(1) $(call quote,$(2)))
DATA_OPTIONS = $(call option,data,$(DATA))
RUN_OPTIONS = $(DATA_OPTIONS) $(call option,config,$(CONFIG)) $(call option,run,$(RUN)) \
	$(call option,workers,$(WORKERS)) $(SET_OPTIONS)
TRAIN_OPTIONS = $(RUN_OPTIONS) $(call option,scheduler,$(SCHEDULER)) $(call option,hours,$(HOURS))
TUNE_OPTIONS = $(RUN_OPTIONS) $(call option,space,$(SPACE)) $(call option,trials,$(TRIALS)) $(call option,hours,$(HOURS))
SET_OPTIONS = $(foreach pair,$(SET),--set $(call quote,$(pair)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

## Train what is missing, ensemble, and write output/submission.csv (CONFIG DATA RUN WORKERS SCHEDULER HOURS SET)
.PHONY: submit
submit: $(VENV)/installed
	@$(DIGITS) submit $(TRAIN_OPTIONS)

## Train the members of a run only (CONFIG DATA RUN WORKERS SCHEDULER HOURS SET)
.PHONY: train
train: $(VENV)/installed
	@$(DIGITS) train $(TRAIN_OPTIONS)

## Start a Dask cluster on this machine, for SCHEDULER= of train and submit (WORKERS PORT)
.PHONY: cluster-up
cluster-up: $(VENV)/installed
	@$(DIGITS) cluster-up $(call option,workers,$(WORKERS)) $(call option,port,$(PORT))

## Judge a submission file, whoever made it (FILE DATA RUN)
.PHONY: validate
validate: $(VENV)/installed
	@$(DIGITS) validate $(call quote,$(or $(FILE),output/submission.csv)) $(DATA_OPTIONS) $(call option,run,$(RUN))

## Compare two runs row by row (A B)
.PHONY: compare
compare: $(VENV)/installed
	@test -n $(call quote,$(A)) -a -n $(call quote,$(B)) || { echo "error: name two runs: make compare A=one B=other"; exit 2; }
	@$(DIGITS) compare $(call quote,$(A)) $(call quote,$(B))

## Cluster a run's out-of-fold features: purity, silhouette, maps, suspicious labels (RUN DATA SET PRESET METHODS SPACES)
.PHONY: cluster
cluster: $(VENV)/installed
	@$(DIGITS) cluster $(DATA_OPTIONS) $(call option,run,$(RUN)) $(SET_OPTIONS) $(call option,preset,$(PRESET)) \
		$(call option,methods,$(METHODS)) $(call option,spaces,$(SPACES))

## Look at the data: digits, duplicates, train against test, the augmentation (CONFIG DATA SET)
.PHONY: eda
eda: $(VENV)/installed
	@$(DIGITS) eda $(DATA_OPTIONS) $(call option,config,$(CONFIG)) $(SET_OPTIONS)

## Judge a run: digit by digit, calibration, what it can decide, every mistake (RUN DATA)
.PHONY: evaluate
evaluate: $(VENV)/installed
	@$(DIGITS) evaluate $(DATA_OPTIONS) $(call option,run,$(RUN))

## Write all about a run into one page, output/<run>/report.html (RUN DATA)
.PHONY: report
report: $(VENV)/installed
	@$(DIGITS) report $(DATA_OPTIONS) $(call option,run,$(RUN))

## Say which digits your own pictures show (IMAGES RUN SPLIT)
.PHONY: predict
predict: $(VENV)/installed
	@$(DIGITS) predict $(IMAGES) $(DATA_OPTIONS) $(call option,run,$(RUN)) $(if $(SPLIT),--split)

## Write a run's ensemble as one ONNX file (RUN DATA)
.PHONY: export
export: $(VENV)/installed
	@$(DIGITS) export $(DATA_OPTIONS) $(call option,run,$(RUN))

## Write the small ensemble that comes with the project anew, of a run's first fold (RUN DATA)
.PHONY: pretrained
pretrained: $(VENV)/installed
	@$(DIGITS) export $(DATA_OPTIONS) $(call option,run,$(RUN)) --folds 1 --small \
		--out src/digits/stages/predict/pretrained/ensemble.onnx

## Open the explorer of a finished run in your browser (RUN DATA PORT)
.PHONY: explore
explore: $(VENV)/installed-explore
	@$(DIGITS) explore $(DATA_OPTIONS) $(call option,run,$(RUN)) $(call option,port,$(PORT))

## Search for a better config; goes on where it was stopped (SPACE TRIALS HOURS CONFIG DATA RUN WORKERS SET)
.PHONY: tune
tune: $(VENV)/installed
	@$(DIGITS) tune $(TUNE_OPTIONS)

## The same for workers on other machines, none here unless WORKERS says so (LISTEN and those of tune)
.PHONY: tune-chief
tune-chief: WORKERS := $(or $(WORKERS),0)
tune-chief: $(VENV)/installed
	@$(DIGITS) tune $(TUNE_OPTIONS) --listen $(call quote,$(or $(LISTEN),0.0.0.0:8700))

## Join the search of a chief on another machine (CHIEF DATA WORKERS)
.PHONY: tune-worker
tune-worker: $(VENV)/installed
	@$(DIGITS) tune-worker --chief $(call quote,$(CHIEF)) $(DATA_OPTIONS) $(call option,workers,$(WORKERS))

## Write the whole solution with a config into kaggle_kernel.py (CONFIG)
.PHONY: kernel
kernel: $(VENV)/installed
	@$(DIGITS) kernel $(call option,config,$(CONFIG))

## Upload kaggle_kernel.py with the kaggle command, and have Kaggle run it
.PHONY: push
push: $(VENV)/installed
	@$(DIGITS) push

## Submit a run's predictions with the kaggle command (RUN)
.PHONY: submit-kaggle
submit-kaggle: $(VENV)/installed
	@$(DIGITS) submit-kaggle $(call option,run,$(RUN))

## Write the files of a run that are committed, into output/published/<run>/ (RUN NAME)
.PHONY: publish
publish: $(VENV)/installed
	@$(VENV)/bin/python tests/tools/publish.py $(call option,run,$(RUN)) $(call option,name,$(NAME))

## Fetch the competition's data with the kaggle command
.PHONY: data
data: $(VENV)/installed
	@$(DIGITS) data

## Measure this machine: speed of every part, and which config is accurate first (DATA)
.PHONY: bench
bench: $(VENV)/installed
	@$(VENV)/bin/python tests/tools/bench.py $(DATA_OPTIONS)

## Measure how time and memory grow up to a million rows; goes on where it was stopped (DATA ROWS)
.PHONY: bench-scale
bench-scale: $(VENV)/installed
	@$(VENV)/bin/python tests/tools/bench_scale.py $(DATA_OPTIONS) $(call option,most,$(ROWS))

## Run the tests; those of training on JAX too
.PHONY: test
test: $(VENV)/installed-dev
	@$(VENV)/bin/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder
	@KERAS_BACKEND=jax $(VENV)/bin/python -m pytest -q -n auto tests/training/test_training.py tests/models

## Kill it, fill its disk, damage its files, jump its clock: nothing may be lost (23 minutes)
.PHONY: torture
torture: $(VENV)/installed-dev
	@$(VENV)/bin/python -m pytest -q -n auto -m torture tests/torture

## Feed whatever reads a file with crafted ones, to see it fail (SECONDS TARGETS)
.PHONY: fuzz
fuzz: $(VENV)/installed-dev
	@$(VENV)/bin/python tests/fuzz/fuzz.py $(TARGETS) $(call option,seconds,$(SECONDS))

## Run kaggle_kernel.py with the versions of Kaggle's image
.PHONY: kernel-test
kernel-test: $(VENV)/installed-dev $(VENV)/kaggle/installed
	@KAGGLE_PYTHON=$(abspath $(VENV)/kaggle/bin/python) $(VENV)/bin/python -m pytest -q tests/stages/kaggle/test_kernel.py

## Check style and format
.PHONY: lint
lint: $(VENV)/installed-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

## Lock requirements.in and configs/requirements/*.in anew, for Python 3.11 to 3.13 (needs uv)
.PHONY: lock
lock: COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes
lock:
	$(COMPILE) requirements.in $(REQUIREMENTS)/tensorflow.in -o requirements.txt
	$(COMPILE) -c requirements.txt requirements.in $(REQUIREMENTS)/jax.in -o $(REQUIREMENTS)/jax.txt
	$(COMPILE) -c requirements.txt requirements.in $(REQUIREMENTS)/cuda.in -o $(REQUIREMENTS)/cuda.txt
	$(COMPILE) -c requirements.txt -c $(REQUIREMENTS)/jax.txt -c $(REQUIREMENTS)/cuda.txt \
		requirements.in $(REQUIREMENTS)/jax-cuda.in -o $(REQUIREMENTS)/jax-cuda.txt
	$(COMPILE) -c requirements.txt $(REQUIREMENTS)/explore.in -o $(REQUIREMENTS)/explore.txt
	$(COMPILE) -c requirements.txt -c $(REQUIREMENTS)/jax.txt -c $(REQUIREMENTS)/explore.txt \
		$(REQUIREMENTS)/dev.in -o $(REQUIREMENTS)/dev.txt
	@echo "Next: make licences"

## List the licences of all that is locked, tests/licences.csv, and ask the registry about what is not installed (needs uv)
.PHONY: licences
licences: $(VENV)/installed-dev
	@$(VENV)/bin/python tests/tools/licences.py

## Remove the environments; data and results stay
.PHONY: clean
clean:
	rm -rf .venv .venv-jax .pytest_cache .ruff_cache src/*.egg-info

## Show this list
.PHONY: help
help:
	@echo "make <target> [VARIABLE=value ...]"; echo
	@awk '/^## /{text=substr($$0,4)} /^[a-z-]+:/{if(text){split($$1,name,":");printf "  %-13s %s\n",name[1],text;text=""}}' \
		Makefile
	@echo
	@echo "  BACKEND  what Keras runs on: tensorflow, the default, or jax; each has an environment, .venv and .venv-jax"
	@echo "  GPU      0 uses no GPU; by default the CUDA build is installed where nvidia-smi finds an NVIDIA GPU"
	@echo "  CONFIG   a file of configs/; by default default.yaml, or demo.yaml on the embedded demo set"
	@echo "  DATA     folder with train.csv and test.csv, or Kaggle's zip; by default input/digit-recognizer,"
	@echo "           then Kaggle's mounts, then the embedded demo set (DATA=demo)"
	@echo "  RUN      name of the folder under output/; by default the config's name"
	@echo "  NAME     of the folder that publish writes; by default the run's"
	@echo "  WORKERS  members trained at a time; by default what the machine holds"
	@echo "  SCHEDULER  tcp://host:8786 of a Dask cluster that trains the members; by default this machine does"
	@echo "  SET      config values without spaces inside, such as SET=\"training.epochs=3 folds.count=3\""
	@echo "  FILE     the submission to validate; by default output/submission.csv"
	@echo "  IMAGES   pictures, folders of pictures and CSVs of pixels, with spaces between them; quote a name with spaces"
	@echo "  SPLIT    1 where a picture shows several digits in a row"
	@echo "  A, B     the two runs to compare"
	@echo "  PRESET   a file of configs/clusters/ that says how to cluster"
	@echo "  METHODS  clusterers to compare, with commas between them, or all; by default the config's"
	@echo "  SPACES   spaces to compare them in, the same way"
	@echo "  SPACE    a file of configs/spaces/ that says what is searched; by default accuracy.yaml, or demo.yaml"
	@echo "  HOURS    in which submit, train or tune end, with what fits into them; a later call without it does the rest"
	@echo "  TRIALS   of the search at most"
	@echo "  LISTEN   host:port where tune-chief waits for workers; by default 0.0.0.0:8700"
	@echo "  CHIEF    host:port of the chief that tune-worker joins"
	@echo "  ROWS     of the largest table that bench-scale measures; by default 1000000"
	@echo "  PORT     on this machine; of the explorer the first free one from 8501 on, of cluster-up 8786 by default"
	@echo "  SECONDS  for each of the fuzzer's TARGETS, by default 60; the targets: table config picture submission"
	@echo "  PYTHON   the Python 3.11 to 3.13 to build the environment with; by default the first one found"

$(VENV)/installed: $(LOCK) pyproject.toml
	@PYTHON=$(call quote,$(PYTHON)) sh src/install.sh $(VENV) $(LOCK)
	@echo $(LOCK) >$@

$(VENV)/installed-explore: $(REQUIREMENTS)/explore.txt $(VENV)/installed
	@PYTHON=$(call quote,$(PYTHON)) sh src/install.sh $(VENV) $(REQUIREMENTS)/explore.txt
	@touch $@

$(VENV)/installed-dev: $(REQUIREMENTS)/dev.txt $(VENV)/installed
	@PYTHON=$(call quote,$(PYTHON)) sh src/install.sh $(VENV) $(REQUIREMENTS)/dev.txt
	@touch $@

$(VENV)/kaggle/installed: $(REQUIREMENTS)/kaggle-image.txt $(VENV)/installed
	@echo "installing $(REQUIREMENTS)/kaggle-image.txt (a few minutes the first time)"
	@rm -rf $(VENV)/kaggle
	@if command -v uv >/dev/null; then uv venv -q --python $(VENV)/bin/python $(VENV)/kaggle \
		&& uv pip install -q --compile-bytecode --python $(VENV)/kaggle/bin/python -r $(REQUIREMENTS)/kaggle-image.txt; \
	else $(VENV)/bin/python -m venv $(VENV)/kaggle \
		&& $(VENV)/kaggle/bin/python -m pip install -q --disable-pip-version-check -r $(REQUIREMENTS)/kaggle-image.txt; fi
	@touch $@
