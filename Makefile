# Digit Recognizer. `make` alone prints the list of targets and variables, from the lines that start with ##.

## what Keras runs on: tensorflow, the default, or jax;
## each has an environment of its own, .venv and .venv-jax
BACKEND ?= $(KERAS_BACKEND)
## 0 uses no GPU; by default an NVIDIA GPU is used, and the CUDA
## build installed, where nvidia-smi finds one
GPU ?=
## the Python 3.11 to 3.13 to build the environment with;
## by default the first one found
PYTHON ?=
## a file of configs/; by default default.yaml, or demo.yaml on
## the embedded demo set
CONFIG ?=
## a folder with train.csv and test.csv, or a zip of them; by
## default input/digit-recognizer, then Kaggle's mounts, then the
## embedded demo set (DATA=demo)
DATA ?=
## the folder under output/; by default named as the config
RUN ?=
## members or trials at a time; by default what the machine holds
WORKERS ?=
## tcp://host:8786 of a Dask cluster that does the training; by
## default this machine does
SCHEDULER ?=
## after which submit, train or tune end, with what fits; a later
## call without it does the rest
HOURS ?=
## config values without spaces inside, such as
## SET="training.epochs=3 folds.count=3"
SET ?=
## a file of configs/spaces/ that says what to search; by default
## accuracy.yaml, or demo.yaml on the demo set
SPACE ?=
## the most trials of a search
TRIALS ?=
## a file of configs/clusters/ that says how to cluster
PRESET ?=
## clusterers to compare, with commas between them, or all; by
## default the config's
METHODS ?=
## feature spaces to compare them in, likewise
SPACES ?=
## pictures, folders of pictures, CSVs of pixels, with spaces
## between them; quote a name that has spaces
IMAGES ?=
## 1 where a picture shows several digits in a row
SPLIT ?=
## saved_model or litert, which TensorFlow reads; by default onnx
FORMAT ?=
## the submission to validate; by default output/submission.csv
FILE ?= output/submission.csv
## of submit-kaggle, where the run answers the rows of another
## competition: its name, as in the address of its page
COMPETITION ?=
## a run to compare
A ?=
## the run to compare it with
B ?=
## the folder that publish writes; by default named as the run
NAME := # not from the environment, where some systems keep the machine's name
## of explore, by default the first free one from 8501 on, or of
## cluster-up, by default 8786
PORT ?=
## the largest table that bench-scale measures; by default 1000000
ROWS ?=
## what to fuzz: table config picture submission; by default all
TARGETS ?=
## how long to fuzz each of them; by default 60
SECONDS ?=

REQUIREMENTS := configs/requirements
PRETRAINED := src/digits/stages/predict/pretrained/ensemble.onnx

ifneq ($(or $(filter-out tensorflow jax,$(BACKEND)),$(word 2,$(BACKEND))),)
$(error BACKEND=$(BACKEND) is not known; the backends are tensorflow (the default) and jax)
endif
ifneq ($(BACKEND),)
export KERAS_BACKEND := $(BACKEND)
endif
ifeq ($(GPU),0)
export CUDA_VISIBLE_DEVICES := -1
# JAX's CUDA build fails where it sees no GPU, unless told to do without.
export JAX_PLATFORMS := cpu
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
# without a GPU.
HAS_CUDA = $(wildcard $(VENV)/installed-$(basename $(notdir $(CUDA_LOCK))))
HAS_GPU = $(shell test "$$(uname -sm)" = "Linux x86_64" && nvidia-smi -L >/dev/null 2>&1 && echo yes)
LOCK = $(if $(or $(HAS_CUDA),$(if $(filter 0,$(GPU)),,$(HAS_GPU))),$(CUDA_LOCK),$(CPU_LOCK))

INSTALL := sh $(REQUIREMENTS)/install.sh
VENV_PYTHON := $(VENV)/bin/python
DIGITS := $(VENV_PYTHON) -m digits
PYTEST := $(VENV_PYTHON) -m pytest -q -n auto
SPREAD := --dist loadfile --no-loadscope-reorder

# A target's VARIABLES become the OPTIONS of its command: CONFIG=a.yaml becomes --config 'a.yaml', unless OPTION_CONFIG
# says otherwise. A variable without a value is left out.
quote = '$(subst ','\'',$(1))'
lower = $(shell echo $(1) | tr A-Z a-z)
option = $(or $(OPTION_$(1)),--$(call lower,$(1)) $(call quote,$($(1))))
given = $(foreach variable,$(VARIABLES),$(if $($(variable)),$(variable)))
OPTIONS = $(foreach variable,$(given),$(call option,$(variable)))
OPTION_SET = $(foreach pair,$(SET),--set $(call quote,$(pair)))
OPTION_IMAGES = $(IMAGES)
OPTION_SPLIT = --split
OPTION_FILE = $(call quote,$(FILE))
OPTION_A = $(call quote,$(A))
OPTION_B = $(call quote,$(B))
OPTION_ROWS = --most $(call quote,$(ROWS))
OPTION_TARGETS = $(TARGETS)

.DEFAULT_GOAL := help

##@ Main

## Train what is missing, ensemble, write output/submission.csv
submit: VARIABLES := CONFIG DATA RUN WORKERS SCHEDULER HOURS SET

## Search for a better config; resumes where it was stopped
tune: VARIABLES := SPACE TRIALS HOURS CONFIG DATA RUN WORKERS SCHEDULER SET

## Judge a run: each digit, calibration, every mistake
evaluate: VARIABLES := RUN DATA

## Cluster a run's features: purity, silhouette, maps, odd labels
cluster: VARIABLES := RUN DATA SET PRESET METHODS SPACES

## Write all about a run into output/<run>/report.html
report: VARIABLES := RUN DATA

## Say which digits your own pictures show
predict: VARIABLES := IMAGES SPLIT RUN DATA

## Open the explorer of a run in your browser
explore: VARIABLES := RUN DATA PORT
explore: install-explore

##@ Data, runs and submissions

## Fetch the competition's data with the kaggle command
data:

## Look at the data: duplicates, drift, the augmentation
eda: VARIABLES := CONFIG DATA SET

## Train the members of a run only
train: VARIABLES := CONFIG DATA RUN WORKERS SCHEDULER HOURS SET

## Start a Dask cluster on this machine, for SCHEDULER=
cluster-up: VARIABLES := WORKERS PORT

## Judge a submission file, whoever made it
validate: VARIABLES := FILE DATA RUN

## Compare two runs row by row
compare: VARIABLES := A B
compare: install
	@test -n $(call quote,$(A)) -a -n $(call quote,$(B)) || { echo "error: name two runs: make compare A=one B=other"; exit 2; }
	@$(DIGITS) compare $(OPTIONS)

## Write a run's ensemble as one ONNX file, or for TensorFlow
export: VARIABLES := RUN DATA FORMAT

##@ Kaggle

## Write the whole solution into kaggle_kernel.py
kernel: VARIABLES := CONFIG

## Upload kaggle_kernel.py and have Kaggle run it
push:

## Submit a run's predictions to Kaggle, and wait for their score
submit-kaggle: VARIABLES := RUN COMPETITION

##@ Measurements

## Measure this machine, part by part; race the configs
bench: VARIABLES := DATA
bench: install
	@$(VENV_PYTHON) tests/tools/bench.py $(OPTIONS)

## Measure time and memory up to a million rows; resumes
bench-scale: VARIABLES := DATA ROWS
bench-scale: install
	@$(VENV_PYTHON) tests/tools/bench_scale.py $(OPTIONS)

# The targets above that only run the sub-command of the same name.
COMMANDS := submit tune evaluate cluster report predict explore data eda train cluster-up validate export kernel \
	push submit-kaggle
.PHONY: $(COMMANDS) compare bench bench-scale
$(COMMANDS): install
	@$(DIGITS) $@ $(OPTIONS)

##@ Development

.PHONY: install install-explore install-dev install-kaggle
.PHONY: test test-all torture fuzz kernel-test lint lock licences publish docs-pictures pretrained clean help

## Set up the environment, as every target does that needs it
install:
	@$(INSTALL) $(VENV) $(LOCK)
install-explore install-dev: install-%: install
	@$(INSTALL) $(VENV) $(REQUIREMENTS)/$*.txt
install-kaggle: install
	@PYTHON=$(VENV_PYTHON) $(INSTALL) $(VENV)/kaggle $(REQUIREMENTS)/kaggle-image.txt

## Run the tests that take less than five minutes together
test: install-dev
	@$(PYTEST) $(SPREAD)

## Run these and all others but torture and fuzz; on JAX too
test-all: test
	@$(PYTEST) $(SPREAD) -m "slow and not torture"
	@KERAS_BACKEND=jax $(PYTEST) tests/training/test_training.py tests/models

## Kill it, fill its disk, damage its files, jump its clock:
## nothing may be lost (half an hour)
torture: install-dev
	@$(PYTEST) -m torture

## Feed crafted files to whatever reads files
fuzz: VARIABLES := TARGETS SECONDS
fuzz: install-dev
	@$(VENV_PYTHON) tests/fuzz/fuzz.py $(OPTIONS)

## Run kaggle_kernel.py with the versions of Kaggle's image
kernel-test: install-dev install-kaggle
	@KAGGLE_PYTHON=$(call quote,$(CURDIR)/$(VENV)/kaggle/bin/python) $(PYTEST) -n 0 -m "not torture" tests/stages/kaggle/test_kernel.py

## Check style and format
lint: install-dev
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .

## Lock requirements.in and configs/requirements/*.in anew, for
## Python 3.11 to 3.13 (needs uv)
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

## List the licences of all that is locked in tests/licences.csv;
## asks the registry about what is not installed (needs uv)
licences: install-dev
	@$(VENV_PYTHON) tests/tools/licences.py

## Write the files of a run that are committed
publish: VARIABLES := RUN NAME
publish: install
	@$(VENV_PYTHON) tests/tools/publish.py $(OPTIONS)

## Make the pictures of README and docs/ anew, after evaluate,
## cluster and report of the run
docs-pictures: VARIABLES := RUN DATA
docs-pictures: install-dev install-explore
	@PYTHONPATH=tests $(VENV_PYTHON) tests/tools/docs_pictures.py $(OPTIONS)

## Write the small ensemble that comes with the project anew, of a
## run's first fold
pretrained: VARIABLES := RUN DATA
pretrained: install
	@$(DIGITS) export $(OPTIONS) --folds 1 --small --out $(PRETRAINED)

## Remove the environments; data and results stay
clean:
	rm -rf .venv .venv-jax .pytest_cache .ruff_cache

## Show this list
help:
	@echo "make <target> [VARIABLE=value ...]"
	@awk ' \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^## / { text = (text ? text "\n" sprintf("%17s", "") : "") substr($$0, 4) } \
		text && /^[a-z-]+:/ { \
			name = $$1; sub(":", "", name); \
			variables = ""; if ($$2 == "VARIABLES") { sub(/.*:= /, ""); variables = "(" $$0 ")" } \
			gap = length(text " " variables) > 63 ? "\n" sprintf("%17s", "") : " "; \
			printf "  %-13s  %s%s\n", name, text, (variables ? gap variables : ""); text = "" } \
		text && /^[A-Z]+ / { described = described sprintf("  %-13s  %s\n", $$1, text); text = "" } \
		END { printf "\nVariables\n%s", described }' Makefile
