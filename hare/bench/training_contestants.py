"""The processes that `hare bench training` times: each trains the same shape on the same batches, a block at a time.

    python -m hare.bench.training_contestants NAME FOLDER

waits for lines on standard input: a number starts a block of so many steps, anything else ends the process. After each
block it prints the seconds per step, its peak memory and, where it is at hand, the loss. Separate processes keep one's
memory out of the other's figures, and blocks taken in turns let a busy machine slow all of them alike.
"""

import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from hare.core.provenance import peak_rss_mb
from hare.model.config import HareConfig
from hare.model.convert import hugging_face_config
from hare.tokens.mixture import Mixture
from hare.tokens.tokenizer import Tokenizer
from hare.training.processes import meet
from hare.training.run import TrainingRun

REPLY = "@block "  # begins a line of standard output that is meant for the benchmark, as JSON
ON_GPU = torch.cuda.is_available()


class Turns:
    """Tells when this process may take steps, and times each block of them."""

    def __init__(self) -> None:
        self.steps = self.left = 0
        self.started = 0.0
        self.loss: float | None = None

    def another(self) -> bool:
        """Whether to take one more step; waits for this process's turn, and reports the block before."""
        if self.left == 0:
            if self.steps:
                self._report()
            line = sys.stdin.readline().strip()
            if not line.isdigit():
                return False
            self.steps = self.left = int(line)
            self.started = time.perf_counter()
        self.left -= 1
        return True

    def _report(self) -> None:
        if ON_GPU:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - self.started) / self.steps
        peak = torch.cuda.max_memory_allocated() / 1e6 if ON_GPU else peak_rss_mb()
        print(REPLY + json.dumps({"seconds": seconds, "peak_mb": peak, "loss": self.loss}), flush=True)


def trainer(run: TrainingRun, turns: Turns) -> None:
    """Our trainer, with its batches, journal and all."""
    from hare.training.batches import training_batches
    from hare.training.trainer import HareTrainer

    built = HareTrainer(run, None, None)
    advance = built.training_step

    def in_turn(dataloader: Any) -> Any:
        if built.iteration_step > 1 and built.journal is not None:
            turns.loss = built.journal.last_loss
        if not turns.another():
            raise SystemExit(0)
        return advance(dataloader)

    built.training_step = in_turn
    built.train(training_batches(built, Mixture(run.mixture)))


def plain(run: TrainingRun, turns: Turns) -> None:
    """The same module in a loop of a few lines: what the trainer costs is the difference."""
    from hare.model.nanotron.device import GlooContext, prepare_process_group, training_device
    from hare.model.network import HareForTraining
    from hare.model.weights import initial_weight, load_slices

    # isort: split
    from nanotron.config import ParallelismArgs
    from nanotron.models import build_model
    from nanotron.parallel import ParallelContext
    from nanotron.trainer import mark_tied_parameters

    prepare_process_group()
    config = HareConfig.of(run.model, Tokenizer.load(run.tokenizer).vocabulary, run.training)
    context = (ParallelContext if ON_GPU else GlooContext)(1, 1, 1)
    layout = ParallelismArgs(dp=1, pp=1, tp=1)
    with training_device():
        model = build_model(lambda: HareForTraining(config, context, layout), context, _dtype(run))
        mark_tied_parameters(model, context, layout)
        load_slices(model, lambda name, shape: initial_weight(name, shape, run.seed, config))
    _loop(run, turns, model, lambda inputs, labels: model(inputs, labels)["loss"])


def compiled(run: TrainingRun, turns: Turns) -> None:
    """transformers' Mistral, its layers compiled (one for all, since compiling them as a whole takes minutes at the
    paper's size), in a plain loop; bf16 autocast over fp32 weights on a GPU."""
    model = _mistral(run)
    for layer in model.model.layers:
        layer.compile()

    def loss_of(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda" if ON_GPU else "cpu", torch.bfloat16, enabled=run.training.precision != "float32"):
            logits = model(inputs, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())

    _loop(run, turns, model, loss_of)


def hugging_face(run: TrainingRun, turns: Turns) -> None:
    """Hugging Face's Trainer on its own Mistral."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class InTurn(TrainerCallback):
        """Asks for a turn before each step."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not turns.another():
                raise SystemExit(0)

    training = run.training
    arguments = TrainingArguments(
        output_dir=str(run.folder / "hf"), max_steps=1 << 20, per_device_train_batch_size=training.micro_batch,
        gradient_accumulation_steps=training.gradient_accumulation, report_to=[], save_strategy="no",
        optim="adamw_torch_fused", disable_tqdm=True, logging_strategy="no", use_cpu=not ON_GPU,
        bf16=training.precision != "float32", max_grad_norm=training.gradient_clip, adam_beta2=training.adam_beta2,
        weight_decay=training.weight_decay, dataloader_num_workers=0,
    )
    Trainer(model=_mistral(run), args=arguments, train_dataset=_Samples(run), callbacks=[InTurn()]).train()


def nanotron_llama(run: TrainingRun, turns: Turns) -> None:
    """nanotron's own Llama under nanotron's own trainer; it wants a GPU and flash-attn."""
    import hare.model.nanotron.shim  # noqa: F401
    from hare.core.files import write_text
    from hare.training.settings import nanotron_settings

    # isort: split
    from nanotron.config import LlamaConfig
    from nanotron.trainer import DistributedTrainer

    del sys.modules["nanotron.models.llama"]  # the placeholder
    llama = importlib.import_module("nanotron.models.llama")
    settings, shape = nanotron_settings(run, run.folder / "checkpoints", None), run.model
    settings["model"]["model_config"] = {
        "is_llama_config": True, "hidden_size": shape.hidden_size, "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.attention_heads,
        "num_key_value_heads": shape.key_value_heads, "max_position_embeddings": run.mixture.sequence_length,
        "rms_norm_eps": 1e-5, "vocab_size": Tokenizer.load(run.tokenizer).size,
        "tie_word_embeddings": shape.tied_embeddings,
    }
    path = run.folder / "llama.yaml"
    write_text(path, yaml.safe_dump(settings, sort_keys=False))
    built = DistributedTrainer(str(path), model_config_class=LlamaConfig, model_class=llama.LlamaForTraining)
    advance = built.training_step

    def in_turn(dataloader: Any) -> Any:
        if not turns.another():
            raise SystemExit(0)
        return advance(dataloader)

    built.training_step = in_turn
    built.train(_masked(tokens) for tokens in _batches(run))


def _masked(tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Inputs and labels with the masks that nanotron's Llama wants: nothing is padding."""
    inputs, labels = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    everything = torch.ones_like(inputs, dtype=torch.bool)
    return {"input_ids": inputs, "input_mask": everything, "label_ids": labels, "label_mask": everything}


class _Samples(torch.utils.data.Dataset):
    """The run's samples as Hugging Face's Trainer wants them: labels are shifted inside the model."""

    def __init__(self, run: TrainingRun):
        self.mixture = Mixture(run.mixture)

    def __len__(self) -> int:
        return len(self.mixture)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = torch.from_numpy(self.mixture.sample(index)[:-1])
        return {"input_ids": tokens, "labels": tokens}


def _mistral(run: TrainingRun) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    described = hugging_face_config(HareConfig.of(run.model, Tokenizer.load(run.tokenizer).vocabulary), torch.float32)
    return MistralForCausalLM(MistralConfig(**described)).to("cuda" if ON_GPU else "cpu")


def _loop(
    run: TrainingRun, turns: Turns, model: torch.nn.Module,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """Batches, gradients, clipping, fused AdamW; nothing else."""
    training, batches = run.training, _batches(run)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay,
        betas=(0.9, training.adam_beta2), fused=True,
    )
    while turns.another():
        for tokens in itertools.islice(batches, training.gradient_accumulation):
            (loss_of(tokens[:, :-1], tokens[:, 1:].contiguous()) / training.gradient_accumulation).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()


def _batches(run: TrainingRun) -> Iterator[torch.Tensor]:
    mixture, size = Mixture(run.mixture), run.training.micro_batch
    for start in itertools.count(step=size):
        tokens = torch.stack([torch.from_numpy(mixture.sample(index)) for index in range(start, start + size)])
        yield tokens.to("cuda" if ON_GPU else "cpu")


def _dtype(run: TrainingRun) -> torch.dtype:
    return torch.float32 if run.training.precision == "float32" else torch.bfloat16


CONTESTANTS = {
    "trainer": trainer, "returning": trainer, "plain": plain, "compiled": compiled, "hf": hugging_face,
    "nanotron_llama": nanotron_llama,
}
IN_A_GROUP = ("trainer", "returning", "plain", "nanotron_llama")  # nanotron's modules want a process group, if of one

if __name__ == "__main__":
    chosen = TrainingRun.load(Path(sys.argv[2]))
    torch.set_num_threads(chosen.training.cpu_threads)
    meet()
    CONTESTANTS[sys.argv[1]](chosen, Turns())
    sys.exit(0)
