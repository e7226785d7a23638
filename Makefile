# Two commands: `make reproduce` runs the whole study, `make test` checks it. Both set up .venv when it is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PROFILE ?= laptop
HARE = .venv/bin/hare
# Nothing here asks a model or data hub: real data comes from the package index, by hash.
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: reproduce test figures bench lab setup lock clean

reproduce: setup
	$(HARE) reproduce --profile $(PROFILE)

test: setup
	.venv/bin/ruff check hare tests
	.venv/bin/python -m pytest -n 2 --dist loadfile

figures: setup
	$(HARE) figures --profile $(PROFILE)

bench: setup
	$(HARE) bench --profile $(PROFILE)

lab: setup
	.venv/bin/jupyter lab notebooks

setup:
	@$(PYTHON) hare/driver/environment.py

# For maintainers: resolve pyproject.toml anew (needs uv on the PATH), then write the lock and environment.yml.
lock:
	uv pip compile pyproject.toml --extra test --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --quiet --output-file requirements.raw
	$(PYTHON) hare/driver/lock.py requirements.raw
	rm requirements.raw

clean:
	rm -rf work .venv
