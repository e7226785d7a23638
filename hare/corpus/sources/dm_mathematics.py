"""DeepMind's mathematics generator (Saxton et al. 2019), run from its archive in a process of its own.

The package is from 2019 and depends on the order of Python's sets. So it runs in a child process with hashing and both
random generators fixed, and with two names put back that newer numpy and sympy releases have dropped. Python refuses
floats as ends of what is drawn from 3.12 on: whole ones become integers, and the problems are the same on every Python.
Of its modules only those that need no more than a few milliseconds per problem are used.
"""

import json
import os
import subprocess
import sys

from hare.core.errors import HareError
from hare.corpus.sources.source import Rows
from hare.data.archives import Archive, fetch

MODULES = (
    "algebra__linear_1d", "algebra__linear_2d", "arithmetic__add_or_sub", "arithmetic__add_or_sub_in_base",
    "arithmetic__add_sub_multiple", "arithmetic__div", "arithmetic__mixed", "arithmetic__mul",
    "arithmetic__mul_div_multiple", "arithmetic__nearest_integer_root", "comparison__closest",
    "comparison__kth_biggest", "comparison__pair", "comparison__sort", "measurement__time", "numbers__base_conversion",
    "numbers__div_remainder", "numbers__gcd", "numbers__is_factor", "numbers__is_prime", "numbers__lcm",
    "numbers__place_value", "numbers__round_number",
)
DOCUMENTS_PER_MODULE = 10
PROBLEMS_PER_DOCUMENT = 12

_GENERATE = """
import importlib, json, random, sys
import numpy
import sympy

wheel, modules, documents, problems = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4])
solver = importlib.import_module("sympy.solvers.diophantine.diophantine")
sys.modules["sympy.solvers.diophantine"].base_solution_linear = solver.base_solution_linear
draw = random.randint
random.randint = lambda *ends: draw(*(int(end) if int(end) == end else end for end in ends))
sys.path.insert(0, wheel)
from mathematics_dataset.modules import modules as known

by_topic = known.train(lambda entropy: entropy)
generators = {f"{topic}__{name}": make for topic, made in by_topic.items() for name, make in made.items()}
for module in modules:
    random.seed(f"hare {module}")
    numpy.random.seed(0)
    for number in range(documents):
        made = [generators[module]() for _ in range(problems)]
        text = "\\n".join(f"Question: {item.question}\\nAnswer: {item.answer}" for item in made)
        print(json.dumps([f"{module}-{number:03d}", text]))
"""


def mathematics_problems(archive: Archive, _members: tuple[str, ...]) -> Rows:
    """One document per dozen problems of one module, each with its answer.

    Raises:
        HareError: the generator failed; its last line of output is quoted.
    """
    arguments = [str(fetch(archive)), ",".join(MODULES), str(DOCUMENTS_PER_MODULE), str(PROBLEMS_PER_DOCUMENT)]
    done = subprocess.run(
        [sys.executable, "-c", _GENERATE, *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode != 0:
        silent = f"it wrote nothing and ended with code {done.returncode} (below 0: killed by that signal)"
        raise HareError(
            f"The mathematics generator failed: {(done.stderr.strip().splitlines() or [silent])[-1]}",
            "install the versions of numpy and sympy that requirements.lock names",
        )
    for line in done.stdout.splitlines():
        key, text = json.loads(line)
        yield key, text
