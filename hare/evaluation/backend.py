"""lm-eval's Hugging Face backend, made fast for small models without a change to what it answers.

A small language model spends its evaluation on reading the same few-shot prompts again for every choice, and on a
vocabulary-wide softmax at positions that nobody asks about. Here requests that share prefixes are read once
(`hare.evaluation.packing`), and logits are computed only where a continuation is scored. Tokenization, truncation from
the left, generation and the meaning of every score are inherited from lm-eval's own class.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.evaluation.journal import Journal
from hare.evaluation.packing import Pack, batches, pack
from hare.model.exported import multiplying_as_training

TOKENS_PER_SEQUENCE = 256  # a batch of n sequences may hold n times as many tokens
_SCORED_ROWS = 512  # positions whose logits, each as wide as the vocabulary, are held at once
_PACKED_MODELS = ("llama", "mistral")  # attention with rotary positions, checked against the stock backend

Request = tuple[tuple[str, str], list[int], list[int]]


class SharedPrefixLM(HFLM):
    """A Hugging Face causal model under lm-eval's interface; scores equal those of lm-eval's `HFLM`.

    Llama and Mistral shapes whose whole context fits their attention window are read in packs; any other model falls
    back to the stock code.
    """

    def __init__(self, folder: Path, batch_size: int):
        """Load the model and tokenizer in ``folder``, onto the GPU when there is one.

        Raises:
            HareError: there is no model in the folder, or its tokenizer has more tokens than the model.
        """
        if not (folder / "config.json").exists():
            raise HareError(f"{folder} holds no Hugging Face model.", "rerun the notebook that exports it")
        transformers.utils.logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        super().__init__(pretrained=str(folder), device=device, batch_size=batch_size)
        multiplying_as_training(self.model)
        self.task_shown = "evaluate"  # what is being done, on progress lines
        self.truncated = 0  # requests so far that lost their beginning, because the model's context is too short
        self.journal: Journal | None = None  # keeps answered batches, where there is one
        self._encoded: dict[str, list[int]] = {}
        self._check_tokenizer(folder)

    def _check_tokenizer(self, folder: Path) -> None:
        """Sizes and special tokens; more of a mismatch cannot be seen without knowing what the model was trained on."""
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        objections = [] if len(self.tokenizer) <= vocabulary else [
            f"the tokenizer has {len(self.tokenizer)} tokens, the model {vocabulary}"
        ]
        for name in ("bos_token_id", "eos_token_id"):
            theirs, ours = getattr(self.model.config, name, None), getattr(self.tokenizer, name)
            if theirs is not None and ours is not None and ours not in np.atleast_1d(theirs):
                objections.append(f"the tokenizer's {name} is {ours}, the model's {theirs}")
        if objections:
            raise HareError(
                f"{folder}: {'; '.join(objections)}.",
                "save the model together with the tokenizer that it was trained with",
            )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids of ``string``, as lm-eval makes them, looked up where `loglikelihood` has made them already."""
        if add_special_tokens is None and not kwargs and string in self._encoded:
            return self._encoded[string]
        return super().tok_encode(string, add_special_tokens, **kwargs)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding would give it) of each request's continuation."""
        self._encode_all([request.args for request in requests])
        answers = super().loglikelihood(requests, disable_tqdm=True)
        self._encoded.clear()
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Greedy continuations of the requests' contexts, up to a stop string, by lm-eval's own code."""
        for context, options in (request.args for request in requests):
            room = self.max_length - options.get("max_gen_toks", self.max_gen_toks)
            self.truncated += len(self.tok_encode(context)) > room
        with Progress(self.task_shown, len(requests), "examples") as self._generated:
            return super().generate_until(requests, disable_tqdm=True)

    def _model_generate(self, context: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        def generate() -> list[list[int]]:
            return super(SharedPrefixLM, self)._model_generate(context, *arguments, **options).tolist()

        continued = self._kept(["generate", context.tolist(), repr(arguments), repr(options)], generate)
        self._generated.advance(len(context))
        return torch.tensor(continued, device=context.device)

    def _kept(self, asked: Any, compute: Callable[[], Any]) -> Any:
        return compute() if self.journal is None else self.journal.answer(asked, compute)

    def _encode_all(self, arguments: Sequence[tuple[str, str]]) -> None:
        """Tokenize every distinct string that scoring will ask for, once and on all cores."""
        pairs = [(context, continuation) for context, continuation in arguments if context]
        wanted = {context.rstrip() for context, _ in pairs} | {"".join(pair) for pair in pairs}
        begin = self.tokenizer.decode(self.prefix_token_id)  # lm-eval puts it before no string that has it already
        strings = sorted(string for string in wanted if not string.startswith(begin))
        if strings:
            self._encoded.update(zip(strings, self.tokenizer(strings)["input_ids"], strict=True))

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Scores of tokenized requests ``((context, continuation), context ids, continuation ids)``."""
        self.truncated += sum(len(context) + len(cont) > self.max_length + 1 for _, context, cont in requests)
        if not self._reads_packs():
            return super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm, override_bs=override_bs)
        longest = max(len(cont) for _, _, cont in requests)
        if longest > self.max_length:
            raise HareError(
                f"An answer to be scored has {longest} tokens, the model reads {self.max_length} at the most.",
                "evaluate a model with more positions, or leave the benchmark out",
            )
        inputs = [tuple((context + cont)[-(self.max_length + 1) :][:-1]) for _, context, cont in requests]
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        with Progress(self.task_shown, len(requests), "examples") as progress:
            for batch in batches(pack(inputs), self.batch_size * TOKENS_PER_SEQUENCE):
                numbers = [number for packed in batch for number in packed.paths]
                asked = [[inputs[number], requests[number][2]] for number in numbers]
                scored = self._kept(asked, partial(self._answers, batch, {n: requests[n][2] for n in numbers}))
                for number, (score, greedy) in zip(numbers, scored, strict=True):
                    answers[number] = (score, greedy)
                    self.cache_hook.add_partial("loglikelihood", requests[number][0], answers[number])
                progress.advance(len(numbers))
        return answers

    def _answers(self, batch: list[Pack], continuations: dict[int, list[int]]) -> list[tuple[float, bool]]:
        """Answers for all sequences of a batch, pack after pack; ``continuations`` are keyed by sequence number."""
        hidden = self._read(batch)
        scored = [self._score(rows, packed, [continuations[number] for number in packed.paths])
                  for rows, packed in zip(hidden, batch, strict=True)]
        return [answer for scores in scored for answer in scores]

    def _reads_packs(self) -> bool:
        config = self.model.config
        window = getattr(config, "sliding_window", None) or self.max_length
        masked = config._attn_implementation in ("sdpa", "eager")
        return config.model_type in _PACKED_MODELS and masked and window >= self.max_length

    def _read(self, batch: list[Pack]) -> torch.Tensor:
        """Last hidden states, float[packs, nodes of the longest, hidden]."""
        width = len(batch[0])
        tokens, positions = np.zeros((2, len(batch), width), dtype=np.int64)
        masks = np.zeros((len(batch), 1, width, width), dtype=bool)
        masks[:, :, range(width), range(width)] = True  # padding sees itself: a row that sees nothing has no softmax
        for row, packed in enumerate(batch):
            tokens[row, : len(packed)], positions[row, : len(packed)] = packed.tokens, packed.positions
            masks[row, 0, : len(packed), : len(packed)] = packed.mask()
        with torch.no_grad():
            unseen = ~torch.from_numpy(masks).to(self.device)
            bias = torch.zeros(unseen.shape, dtype=self.model.dtype, device=self.device)
            bias.masked_fill_(unseen, torch.finfo(self.model.dtype).min)
            return self.model.get_decoder()(
                input_ids=torch.from_numpy(tokens).to(self.device),
                position_ids=torch.from_numpy(positions).to(self.device),
                attention_mask=bias,
                use_cache=False,
            ).last_hidden_state

    def _score(
        self, hidden: torch.Tensor, packed: Pack, continuations: list[list[int]]
    ) -> list[tuple[float, bool]]:
        """Answers for the sequences of one pack, in the order of its paths; ``hidden`` is float[nodes, hidden]."""
        nodes = [path[-len(cont) :] for path, cont in zip(packed.paths.values(), continuations, strict=True)]
        targets = torch.tensor([token for cont in continuations for token in cont], device=self.device)
        rows = hidden[torch.from_numpy(np.concatenate(nodes)).to(self.device)]
        chosen, greedy = [], []
        with torch.no_grad():
            for part, target in zip(rows.split(_SCORED_ROWS), targets.split(_SCORED_ROWS), strict=True):
                logits = torch.log_softmax(self.model.get_output_embeddings()(part), -1, dtype=self.softmax_dtype)
                chosen.append(logits.gather(1, target[:, None])[:, 0])
                greedy.append(logits.argmax(-1) == target)
        lengths = [len(cont) for cont in continuations]
        pairs = zip(torch.cat(chosen).split(lengths), torch.cat(greedy).split(lengths), strict=True)
        return [(float(score.sum()), bool(equal.all())) for score, equal in pairs]
