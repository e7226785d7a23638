"""HARE-Tool's marks, chosen by llama.cpp: the reader of `hare.finetuning.marks` over a loaded GGUF file."""

from collections.abc import Sequence
from pathlib import Path

from hare.deployment.llama_cpp import Llama
from hare.finetuning.dialogue import Dialogue
from hare.finetuning.marks import decode_marked
from hare.finetuning.screening import objection_to_request


class LlamaReader:
    """Rows of ids that llama.cpp reads one after the other; its prompt cache makes what they share cheap."""

    def __init__(self, model: Llama, rows: int):
        self._model, self._rows = model, [[] for _ in range(rows)]  # type: list[list[int]]

    def follow(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may stand there more than once."""
        self._rows = [list(self._rows[row]) for row in rows]

    def read(self, chunks: Sequence[Sequence[int]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of ``choices`` among each other after each row's chunk: float[rows, choices]."""
        for row, chunk in zip(self._rows, chunks, strict=True):
            row.extend(chunk)
        return [self._model.among(row, choices) for row in self._rows]


def readings(model: Llama, tokenizer: Path, requests: Sequence[str]) -> list[tuple[str, list[str] | None]]:
    """Function and arguments (None: no call) of HARE-Tool's answer to each request, one request at a time."""
    dialogue, answers = Dialogue.load(tokenizer), []
    for request in requests:
        if objection_to_request(request):
            answers.append(("", None))
            continue
        (reading,) = decode_marked(lambda rows: LlamaReader(model, rows), dialogue, [request], "marks")
        answers.append((reading.function, list(reading.call.arguments) if reading.call else None))
    return answers
