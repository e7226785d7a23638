"""HARE, rebuilt from raw text to figures: everything that the numbered notebooks call."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):  # here, where any Python still understands what stands
    sys.stderr.write(
        "hare: HARE runs on Python 3.11 to 3.13, this is {}.{}.\n  Fix: install one of them and run the same with it.\n"
        .format(*sys.version_info)
    )
    sys.exit(2)
