"""nanotron's trainer with the defects of 0.4 fixed, held-out validation, metrics and atomic checkpoints."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.core.files import naming_disk_errors
from hare.core.provenance import processor
from hare.model.config import HareConfig
from hare.model.convert import read_weights
from hare.model.nanotron.defects import refuse_unsupported, restore_learning_rate
from hare.model.nanotron.device import ON_GPU, prepare_process_group, training_device
from hare.model.nanotron.reduction import average_by_tensor
from hare.model.network import HareForTraining
from hare.model.sizes import training_flops_per_token
from hare.model.weights import load_slices
from hare.training.averaging import averaged_steps
from hare.training.checkpoints import PARTIAL, Checkpoint, publish
from hare.training.cluster.stop import Stopped, StopRequest
from hare.training.heldout import HeldoutSequences
from hare.training.journal import Journal, keep_curves
from hare.training.matrix_rate import matrix_flops
from hare.training.run import PROBE_FILE, TrainingRun
from hare.training.settings import write_nanotron_yaml
from hare.training.validation import nats_by_sequence, probe

# isort: split
import nanotron.distributed as dist
from nanotron.trainer import DistributedTrainer

PROBE_TOKENS = 32


class HareTrainer(DistributedTrainer):
    """One process's share of one run; build it, then call `train` with `training_batches`."""

    def __init__(
        self, run: TrainingRun, heldout: HeldoutSequences | None, resume: Checkpoint | None,
        stop: StopRequest | None = None,
    ):
        self.run, self.heldout, self.stop, self.checkpoints = run, heldout, stop, run.folder / "checkpoints"
        self.averaged_steps = averaged_steps(run.training)
        self.journal: Journal | None = None
        self.learning_rate = self.peak_flops = 0.0
        self.processor = processor()
        path = write_nanotron_yaml(run, self.checkpoints / PARTIAL, resume.folder if resume else None)
        prepare_process_group()
        with training_device():
            super().__init__(str(path), model_config_class=HareConfig, model_class=HareForTraining)

    def pre_init(self) -> None:
        """Called by nanotron before it builds anything."""
        refuse_unsupported(self.config)

    def post_init(self) -> None:
        """Called by nanotron when all is built: restore what it forgets on a resume, and open the journal."""
        optimizer = self.optimizer.get_base_optimizer()
        if self.start_iteration_step:
            restore_learning_rate(optimizer, self.lr_scheduler)
        if self.is_reporter:
            self.journal = Journal(self.run, self.start_iteration_step)
            self.peak_flops = matrix_flops(self.run.training.precision) * self.parallel_context.world_pg.size()

    @property
    def is_reporter(self) -> bool:
        """Whether this is the one process that knows the loss and writes the journal."""
        return dist.get_rank(self.parallel_context.world_pg) == int(self.logger_ranks[0])

    def _init_model(self, *arguments: Any, **options: Any) -> Any:
        model = super()._init_model(*arguments, **options)
        if not self.config.optimizer.accumulate_grad_in_fp32:  # else nanotron has a way of its own
            average_by_tensor(model, self.parallel_context.dp_pg)
        return model

    def _load_model_checkpoint(self, model: Any) -> Any:
        with torch.no_grad():  # gloo averages in place, which autograd refuses on parameters
            model = super()._load_model_checkpoint(model)
        if self.run.weights is not None and self.init_checkpoint_path is None:
            tensors = read_weights(self.run.weights, self.model_config)
            load_slices(getattr(model, "module", model), lambda name, shape: tensors[name])
        return model

    def training_step(self, dataloader: Any) -> Any:
        """One optimizer step; remembers the learning rate that it is taken with."""
        self.learning_rate = self.optimizer.get_base_optimizer().param_groups[0]["lr"]
        return super().training_step(dataloader)

    def train_step_logs(self, outputs: Any, loss_avg: torch.Tensor | None) -> None:
        """Called by nanotron after each step and before a checkpoint: report the step, then validate when it is due.

        ``loss_avg``: float32[], the mean over the data-parallel ranks; None on ranks without the head.
        """
        if ON_GPU:
            torch.cuda.synchronize()
        seconds = time.time() - self.iteration_start_time
        if self.is_reporter:
            assert loss_avg is not None and self.journal is not None
            self._refuse_nonfinite("loss", loss_avg.item())
            self._refuse_nonfinite("gradient norm", self.grad_norm_unclipped.item())
            speed = self.global_batch_size * self.sequence_length / seconds
            flops = training_flops_per_token(self.model_config, self.sequence_length, self.model_config.vocab_size)
            self.journal.step({
                "step": self.iteration_step, "loss": loss_avg.item(), "learning_rate": self.learning_rate,
                "gradient_norm": self.grad_norm_unclipped.item(), "tokens_per_s": speed,
                "mfu": speed * flops / self.peak_flops, "seconds": seconds, "processor": self.processor,
            })
        last = self.iteration_step == self.run.training.train_steps
        if self.heldout is not None and (last or self.iteration_step % self.run.training.validation_interval == 0):
            self._validate(self.heldout)
        if self.stop is not None and not last and self.stop.agreed():
            self.save_checkpoint()
            raise Stopped
        if self.iteration_step in self.averaged_steps and not last and not self._interval_ends():
            self.save_checkpoint()

    def _refuse_nonfinite(self, quantity: str, value: float) -> None:
        """Stop before anything of this step is saved."""
        if not math.isfinite(value):
            first = self.consumed_train_samples - self.global_batch_size
            raise HareError(
                f"The {quantity} of step {self.iteration_step} is {value} (samples {first} to "
                f"{self.consumed_train_samples - 1} of {self.run.folder.name}). The checkpoints before it are kept.",
                "lower learning_rate or gradient_clip, or look at those samples (`Mixture.sample` reads them); if the "
                "same step fails again, delete the newest checkpoint, whose weights may have grown too large already",
            )

    def _validate(self, heldout: HeldoutSequences) -> None:
        nats = nats_by_sequence(self, heldout)
        if self.journal is not None:
            self.journal.validation(self.iteration_step, heldout, nats)

    def post_training(self) -> None:
        """Called by nanotron after the last step."""
        if not self._interval_ends():
            self.save_checkpoint()

    def _interval_ends(self) -> bool:
        """Whether nanotron itself saves a checkpoint after this step."""
        return self.iteration_step % self.run.training.checkpoint_interval == 0

    def save_checkpoint(self) -> Path:
        """Write beside, then publish; returns the folder."""
        with naming_disk_errors(self.checkpoints), torch.no_grad(), training_device():
            super().save_checkpoint()
        if self.iteration_step == self.run.training.train_steps and self.heldout is not None:
            logits = probe(self, self.heldout.tokens[:1, : PROBE_TOKENS + 1])
            if self.is_reporter and logits is not None:
                with naming_disk_errors(self.checkpoints):
                    save_file(logits, self.checkpoints / PARTIAL / str(self.iteration_step) / PROBE_FILE)
        dist.barrier(self.parallel_context.world_pg)
        if dist.get_rank(self.parallel_context.world_pg) == 0:
            with naming_disk_errors(self.checkpoints):
                keep_curves(self.run, self.checkpoints / PARTIAL / str(self.iteration_step))
                publish(self.checkpoints, self.iteration_step, self.run.layout, len(self.averaged_steps))
        dist.barrier(self.parallel_context.world_pg)
        return self.checkpoints / str(self.iteration_step)
