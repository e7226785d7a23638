# Two commands: `make reproduce` runs the whole study, `make test` checks it. Both set up .venv when it is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
PROFILE ?= laptop
HARE = .venv/bin/hare
# Nothing here asks a model or data hub: real data comes from the package index, by hash.
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: reproduce test test-slurm figures bench lab setup lock clean

reproduce: setup
	$(HARE) reproduce --profile $(PROFILE)

test: setup
	.venv/bin/ruff check hare tests
	.venv/bin/python -m pytest -n 2 --dist loadfile

# As root, with Slurm and munge installed: cleaning and training on two nodes that this machine plays.
test-slurm: setup
	bash tests/slurm/two_nodes.sh .venv/bin/python -m pytest -x -s tests/slurm

figures: setup
	$(HARE) figures --profile $(PROFILE)

bench: setup
	$(HARE) bench --profile $(PROFILE)

lab: setup
	.venv/bin/jupyter lab notebooks

setup:
	@$(PYTHON) hare/driver/environment.py

# For maintainers: resolve pyproject.toml anew (needs uv on the PATH), one version for every Python and platform, and
# write the lock, environment.yml and the table of wheels. Pins stay what they are unless a requirement moves them.
lock: setup
	cp requirements.lock requirements.raw
	uv pip compile pyproject.toml --extra test --universal --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --quiet --output-file requirements.raw
	uv pip compile requirements.raw --no-deps --universal --python-version 3.11 --quiet --output-file pylock.toml
	.venv/bin/python -m hare.driver.lock requirements.raw pylock.toml
	rm requirements.raw pylock.toml

clean:
	rm -rf work .venv
