"""Generation by a server that speaks the OpenAI protocol, or by vLLM, through datatrove's inference runner.

datatrove keeps the requests in flight, writes checkpoints and remembers every answer in a small database, so a killed
run asks nothing twice. datatrove's client for a given address gives up on the first 429 or 500, sends no key over plain
HTTP and needs another package for HTTPS; the server class here works with any address, and tries again.
"""

import asyncio
import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.servers import InferenceServer
from datatrove.pipeline.inference.types import ServerError
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger

from hare.core.errors import HareError
from hare.core.files import read_jsonl
from hare.core.progress import Progress
from hare.synthesis.engines.generator import (
    FAILED,
    Decoding,
    Finished,
    Generation,
    Request,
    finished_generations,
    identity,
)
from hare.synthesis.engines.replies import Unusable, read_reply

KEY_VARIABLE = "HARE_GENERATOR_KEY"
_ATTEMPTS = 5
_BLOCKS = 32  # requests per call, as a multiple of those in flight
_TRY_AGAIN = frozenset({401, 403, 408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED = frozenset({"status 401", "status 403"})
_SENT = ("messages", "seed")
_UNANSWERED = Generation("", 0, FAILED, "no answer")
_MOST_FAILURES = 0.2  # share of requests without a usable answer above which the run is stopped


class EndpointRefused(ServerError):
    """The endpoint has never served anyone with this key: asking again is pointless."""


class _Endpoint(InferenceServer):
    """A server that runs elsewhere, so nothing is started; each request is tried up to `_ATTEMPTS` times."""

    def __init__(self, config: InferenceConfig, rank: int, pause: float):
        super().__init__(config, rank)
        headers = {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=config.request_timeout)
        self._pause, self._answered = pause, False

    def get_base_url(self) -> str:
        return _base(self.config.endpoint_url)

    async def start_server(self) -> None:
        """Nothing to start."""

    async def monitor_health(self) -> None:
        await asyncio.Event().wait()

    async def _wait_until_ready(self, max_attempts: int = 0, delay_sec: float = 0.0) -> None:
        """Nothing to wait for: `ServedGenerator` has checked already."""

    async def _make_request(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The reply, or one that says why there is none, so that one bad reply does not end the run."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._pause * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))
            try:
                answer = await self._client.post(f"{self.get_base_url()}/v1/chat/completions", json=payload)
                if answer.is_success:
                    reply = read_reply(answer.json())
                    self._answered = True
                    return _as_sent(reply.text, reply.finish_reason, {"completion_tokens": reply.tokens})
                reason = f"status {answer.status_code}"
                if answer.status_code not in _TRY_AGAIN:
                    break
            except Unusable as error:
                reason = str(error)
            except httpx.HTTPError as error:
                reason = type(error).__name__
            except ValueError:
                reason = "a reply that is no JSON"
        if reason in _REFUSED and not self._answered:
            raise EndpointRefused(f"it answered {reason.removeprefix('status ')}")
        return _as_sent("", FAILED, {"failure": reason})


def _as_sent(text: str, finish_reason: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A reply in the shape that datatrove reads."""
    return {"choices": [{"message": {"content": text}, "finish_reason": finish_reason}], "usage": usage}


def _base(url: str) -> str:
    """The address without the protocol's version, which users write or leave out."""
    return url.rstrip("/").removesuffix("/v1")


class _Runner(InferenceRunner):
    """datatrove's runner with our endpoint instead of datatrove's."""

    pause = 1.0

    def _init_server(self, rank: int) -> InferenceServer:
        if self.config.server_type == "endpoint":
            return _Endpoint(self.config, rank, self.pause)
        return super()._init_server(rank)


class ServedGenerator:
    """A model behind a URL, or, where ``where`` is ``vllm``, one that datatrove starts with vLLM on this machine.

    ``concurrency`` requests are in flight at a time. The key, if the server wants one, is read from the environment
    variable `KEY_VARIABLE`, and is neither logged nor recorded. ``pause``: seconds before the second attempt, doubled
    for each further one.
    """

    def __init__(self, where: str, model: str, concurrency: int, timeout: float = 600.0, pause: float = 1.0):
        self._where, self._model, self._concurrency = where, model, concurrency
        self._timeout, self._pause = timeout, pause
        self.block = _BLOCKS * concurrency

    @property
    def name(self) -> str:
        """The model, as the server calls it."""
        return f"{self._model}, served"

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
        """Answers in the order of the requests; a request without a usable answer comes back as `FAILED`.

        Raises:
            HareError: the server cannot be reached, refuses the key, or fails more than a fifth of the requests.
        """
        keys = [request.key(identity(self, __name__), decoding) for request in requests]
        with finished_generations(keys) as finished:
            due = {key: request for key, request in zip(keys, requests, strict=True) if key not in finished}
            failed = self._answer(due, decoding, finished) if due else {}
            answers = [finished[key] if key in finished else failed.get(key, _UNANSWERED) for key in keys]
        self._complain(answers)
        return answers

    def _complain(self, answers: Sequence[Generation]) -> None:
        """Say which requests failed and why; too many of them are an error."""
        failures = Counter(answer.failure for answer in answers if answer.finish_reason == FAILED)
        reasons = ", ".join(f"{reason} ({count})" for reason, count in failures.most_common())
        if failures.total() > _MOST_FAILURES * len(answers):
            asked = f"{failures.total()} of {len(answers)} requests"
            raise HareError(
                f"The generator at {self._where} gave no usable answer to {asked}: {reasons}.",
                "check that the server is up and serves this model, then run again: only these are asked again",
            )
        if failures:
            print(f"{failures.total()} of {len(answers)} requests got no usable answer: {reasons}")

    def _answer(self, due: dict[str, Request], decoding: Decoding, finished: Finished) -> dict[str, Generation]:
        """Ask for what is due; the requests that failed, each with its reason."""
        if self._where != "vllm":
            self._knock()
        folder = finished.path.with_suffix(".datatrove")
        runner = self._runner(folder, decoding)
        failure: list[BaseException] = []
        with Progress("generate", len(due), "texts") as progress:
            # A separate thread, since a notebook's kernel already runs an event loop in the main one.
            thread = threading.Thread(target=_run, args=(runner, _documents(due, progress), failure))
            thread.start()
            thread.join()
        if failure:
            fix = (
                f"start `vllm serve {self._model}` in an environment of its own, since it pins another torch, and name "
                "its address as synthesis.generator (http://localhost:8000)"
            ) if self._where == "vllm" else f"check the address, the model's name and the key in {KEY_VARIABLE}"
            raise HareError(
                f"The generator at {self._where} cannot be used: {_in_short(failure[0])}.",
                f"{fix}, then run again: it continues",
            ) from None
        answers = dict(_read(folder / "answers"))
        finished.add({key: answer for key, answer in answers.items() if answer.finish_reason != FAILED})
        shutil.rmtree(folder)
        return {key: answer for key, answer in answers.items() if answer.finish_reason == FAILED}

    def _knock(self) -> None:
        """Check that the server answers at all; not every server lists its models."""
        for attempt in range(_ATTEMPTS):
            try:
                httpx.get(f"{_base(self._where)}/v1/models", timeout=self._timeout)
                return
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = str(error) or type(error).__name__
                time.sleep(self._pause * 2**attempt)
        raise HareError(f"No server answers at {self._where}: {reason}.", "start it, or correct synthesis.generator")

    def _runner(self, folder: Path, decoding: Decoding) -> InferenceRunner:
        config = InferenceConfig(
            server_type="vllm" if self._where == "vllm" else "endpoint", model_name_or_path=self._model,
            endpoint_url=self._where, api_key=os.environ.get(KEY_VARIABLE), request_timeout=self._timeout,
            max_concurrent_generations=self._concurrency, metric_interval=3600, server_start_max_retries=0,
            tp=_accelerators() if self._where == "vllm" else 1,  # a large model is spread over all that are here
            default_generation_params={
                "max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature,
                "min_p": decoding.min_p, "presence_penalty": decoding.presence_penalty,
                "frequency_penalty": decoding.frequency_penalty,
                "min_tokens": decoding.min_new_tokens,
            },
        )
        runner = _Runner(
            _rollout, config, JsonlWriter(str(folder / "answers"), "${rank}_${chunk_index}.jsonl", compression=None),
            checkpoints_local_dir=str(folder / "checkpoints"), records_per_chunk=500,
        )
        runner.pause = self._pause
        return runner


def _accelerators() -> int:
    import torch  # here, since a server somewhere else needs none of it

    return max(1, torch.cuda.device_count())


def _documents(due: dict[str, Request], progress: Progress) -> Iterator[Document]:
    for key, request in due.items():
        yield Document("-", key, metadata=_payload(request))
        progress.advance()


def _payload(request: Request) -> dict[str, Any]:
    return {"messages": list(request.messages), "seed": request.seed}


async def _rollout(document: Document, generate: Any) -> dict[str, Any]:
    result = await generate({name: document.metadata[name] for name in _SENT if name in document.metadata})
    return {
        "text": result.text.strip(), "tokens": int(result.usage.get("completion_tokens", 0)),
        "finish_reason": result.finish_reason or "stop", "failure": result.usage.get("failure", ""),
    }


def _run(runner: InferenceRunner, documents: Iterator[Document], failure: list[BaseException]) -> None:
    logger.disable("datatrove")  # it logs every retry; progress and errors are reported here
    try:
        runner.run(documents)
    except Exception as error:
        failure.append(error)


def _read(folder: Path) -> Iterator[tuple[str, Generation]]:
    for path in sorted(folder.glob("*.jsonl")):
        for row in read_jsonl(path):
            yield row["id"], Generation(**row["metadata"]["rollout_results"][0])


def _in_short(error: BaseException) -> str:
    return str(error).split("Payload:", 1)[0].split("\n", 1)[0][:200].strip().rstrip(".")
