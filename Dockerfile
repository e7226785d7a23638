# The whole study in a container, from the same lock as `make`:
#   docker build -t hare .                                         torch as the default package index offers it
#   docker build -t hare --build-arg TORCH_INDEX=<index address> .  torch's CPU build, or another CUDA version's
#   docker build -t hare --build-arg VARIANT=cuda .                 the same, and the build fails unless torch has CUDA
#   docker build -t hare --build-arg PYTHON=3.13 .                  another Python than 3.11: 3.12 or 3.13
#   docker run -it -v hare-cache:/cache -v "$PWD/results:/hare/results" hare make reproduce
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

ARG VARIANT=any
ARG TORCH_INDEX=""

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /hare
ENV HARE_CACHE=/cache TORCH_INDEX=${TORCH_INDEX} PIP_NO_CACHE_DIR=1

COPY requirements.lock pyproject.toml Makefile ./
COPY hare hare
RUN make setup
RUN if [ "${VARIANT}" = cuda ]; then \
        .venv/bin/python -c "import sys, torch; sys.exit(None if torch.version.cuda else 'this torch has no CUDA')"; \
    fi

COPY . .
RUN git config --global --add safe.directory /hare

# Tensor parallelism in nanotron wants one hardware queue, so that communication overlaps as it was scheduled.
ENV CUDA_DEVICE_MAX_CONNECTIONS=1
CMD ["make", "reproduce"]
