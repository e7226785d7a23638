"""Every workaround for nanotron 0.4, the version on the package index (March 2024), and why it is needed.

| what | where | why | upstream |
|---|---|---|---|
| imported in another order, with placeholders | `shim` | it cannot be imported as published, and demands flash-attn | \
issues 191, 235; pull request 97 |
| "cuda" means the CPU; gloo | `device` | it supports GPUs and NCCL only | by design |
| shapes in checkpoints as plain integers | `defects` | numpy 2 | not reported |
| learning rate after a resume | `defects` | the first step is taken with rate 0 | issue 233, pull requests 243, 256 |
| gradients averaged tensor by tensor | `reduction` | a resumed run differs in the last bit; only the last bucket is \
waited for | not reported |
| asynchronous row-parallel layers refused | `defects` | wrong gradients | issue 46, pull request 172 |
| initial weights by name | `hare.model.weights` | tensor-parallel ranks draw the same numbers | not reported |
| another layout refused on a resume | `hare.training.checkpoints` | the optimizer's state is lost | not reported |

``upstream/`` holds the first, third and fourth as patches against the published files, for its maintainers.
"""
