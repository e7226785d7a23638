"""What every worker of a cleaning starts with: the fork server imports this once, and its children share it.

Modules, the language model, and datatrove's look through all installed packages at its first writer cost half a second
otherwise, in every worker of every launch.
"""

import gc
import os

from datatrove.pipeline.writers.jsonl import JsonlWriter

from hare.corpus import language, pipeline

__all__ = ["pipeline"]

language.identify("")
JsonlWriter(os.devnull)
gc.freeze()  # the collector of no worker need look through what has been imported here
