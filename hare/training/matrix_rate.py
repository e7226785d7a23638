"""How fast this machine multiplies matrices: what the share of it that training uses (MFU) is measured against."""

import time
from functools import cache

import torch

from hare.model.products import times_transposed

_SIDES = {"cpu": 512, "cuda": 8192}
_SECONDS = {"cpu": 0.5, "cuda": 1.0}


def matrix_flops(precision: str) -> float:
    """FLOPs per second of the model's matrix products, square, with this process's device and threads: the best timed.

    ``precision`` is a profile's; float8 is measured as bfloat16, so that its MFU can be compared (and may pass 1).
    Random numbers, since a GPU is faster on constant ones. Measured once per process; other work on the machine makes
    the rate too low, and MFU too high.
    """
    return _measured(precision, torch.get_num_threads())


@cache
def _measured(precision: str, threads: int) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    side = _SIDES[device]
    left, right = (torch.randn(side, side, dtype=dtype, device=torch.device(device)) for _ in range(2))
    best, until = float("inf"), time.perf_counter() + _SECONDS[device]
    while time.perf_counter() < until or best == float("inf"):
        started = time.perf_counter()
        times_transposed(left, right)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best
