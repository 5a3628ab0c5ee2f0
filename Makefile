# `make` alone lists the commands.

PYTHON   ?= python3
VENV     ?= .venv
PIP_ARGS ?=

BIN      := $(VENV)/bin

.DEFAULT_GOAL := help
# Where the page's libraries lie; `vendor` writes them from the lock file there.
VENDOR   := service/page/vendor

.PHONY: help serve train-env test test-serve check audit format bench bench-serving docs wheel lock proto vendor image-test

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.serve.stamp ## Start the service; ARGS="--port 9000" passes options on
	@$(BIN)/python -m service $(ARGS)

train-env: $(VENV)/.train.stamp ## Install what `python -m training` needs
	@echo "Ready: . $(BIN)/activate && python -m training --help"

test: $(VENV)/.dev.stamp ## Run the tests; ARGS="-k wheel" passes options on
	@$(BIN)/python -m pytest $(ARGS)

# The tests that need no torch, and an environment that has none.
VENV_SERVE    := .venv-serve
WITHOUT_TORCH := tests/service tests/models/preprocessing tests/models/test_card.py tests/models/test_no_torch.py \
                 tests/models/test_package.py tests/models/test_scope.py

test-serve: ## Run the service's tests in an environment without torch
	@$(MAKE) --no-print-directory VENV=$(VENV_SERVE) $(VENV_SERVE)/.test-serve.stamp
	@$(VENV_SERVE)/bin/python -m pytest $(WITHOUT_TORCH) $(ARGS)

check: $(VENV)/.dev.stamp ## Check format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# pip-audit passes over what its database can't tell and then ends well, so what it said decides.
audit: $(VENV)/.dev.stamp ## Look for known faults in the packages that serving is locked to
	@for file in serve serve-gpu serve-openvino; do \
	    found=$$($(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off \
	        --format json --requirement requirements/$$file.txt 2>&1); status=$$?; \
	    case "$$found" in \
	        *'"vulns"'*) [ $$status -eq 0 ] || { echo "$$found"; exit 1; }; echo "$$file.txt: no known fault";; \
	        *) echo "Skipped: the database of known faults can't be reached, so $$file.txt was not audited";; \
	    esac; \
	done

format: $(VENV)/.dev.stamp ## Format, and fix what the linter can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev.stamp ## Run every script in tests/benchmarks but serving.py
	@for script in $(filter-out %/serving.py,$(wildcard tests/benchmarks/[!_]*.py)); do \
	    echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || exit 1; \
	done

bench-serving: $(VENV)/.dev.stamp ## Compare serving with other servers; takes half an hour; ARGS="--peer fastapi" passes options on
	@$(BIN)/python -m tests.benchmarks.serving $(ARGS)

docs: $(VENV)/.dev.stamp ## Write docs/settings.md from the settings class
	@PYTHONPATH=. $(BIN)/python tests/docs/settings_page.py

wheel: $(VENV)/.dev.stamp ## Build the source archive and the wheel into dist/
	@$(BIN)/python -m build

# Pins stay as they are unless pyproject.toml forces a change or LOCK_ARGS=--upgrade asks for one. dev.txt holds every
# package but the other builds of ONNX Runtime, so the other files take its pins.
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --fork-strategy fewest --python-version 3.11 \
          --no-annotate --custom-compile-command "make lock" $(LOCK_ARGS)
SERVE   = --generate-hashes --constraint requirements/dev.txt --extra grpc --extra oidc --extra otel --extra postgres --extra s3

lock: $(VENV)/.dev.stamp ## Write the lock files anew; LOCK_ARGS=--upgrade takes newer versions
	@$(COMPILE) --extra dev --output-file requirements/dev.txt
	@$(COMPILE) --extra test --constraint requirements/dev.txt --output-file requirements/test-serve.txt
	@$(COMPILE) --extra train --constraint requirements/dev.txt --output-file requirements/train.txt
	@$(COMPILE) $(SERVE) --output-file requirements/serve.txt
	@$(COMPILE) $(SERVE) --extra gpu --no-emit-package onnxruntime --output-file requirements/serve-gpu.txt
	@$(COMPILE) $(SERVE) --extra openvino --no-emit-package onnxruntime --output-file requirements/serve-openvino.txt

# The compiler writes absolute imports of modules at the root.
PROTO := service/rpc/proto

proto: $(VENV)/.dev.stamp ## Write the modules of the gRPC schema anew from its .proto files
	@$(BIN)/python -m grpc_tools.protoc --proto_path=$(PROTO) --python_out=$(PROTO) $(PROTO)/*.proto
	@sed -i.old 's/^import model_config_pb2/from service.rpc.proto import model_config_pb2/' $(PROTO)/grpc_service_pb2.py
	@rm $(PROTO)/*.old

# A browser has no import by package name without an inline import map, which the page's security policy refuses.
vendor: ## Write the page's libraries anew from their lock file (needs npm)
	@npm ci --prefix $(VENDOR) --ignore-scripts --no-audit --no-fund --loglevel error
	@for pair in preact:preact/dist/preact.mjs hooks:preact/hooks/dist/hooks.mjs htm:htm/dist/htm.mjs; do \
	    sed -e 's|from"preact"|from"./preact.js"|' -e '/^\/\/# sourceMappingURL/d' "$(VENDOR)/node_modules/$${pair#*:}" \
	        > "$(VENDOR)/$${pair%%:*}.js" || exit 1; \
	done
	@cp $(VENDOR)/node_modules/preact/LICENSE $(VENDOR)/preact.LICENSE
	@cp $(VENDOR)/node_modules/htm/LICENSE $(VENDOR)/htm.LICENSE
	@rm -r $(VENDOR)/node_modules

# It needs no environment: Debian's packages and this interpreter are enough.
image-test: ## Build the serving image and try it, without Docker; as root on Debian
	@$(PYTHON) -m tests.image.run $(ARGS)

# A stamp is as old as the last installation of its lock file.
$(VENV)/.%.stamp: requirements/%.txt | $(BIN)/python
	@echo "Installing $< into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --requirement $<
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; '$(PYTHON)' is not. Name one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
