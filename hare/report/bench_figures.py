"""Figures of the benchmarks of speed."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import headline


@figure("bench", "vocabulary")
def draw_vocabulary(frame: pd.DataFrame) -> Figure:
    """What a vocabulary costs at equal seconds. Columns: vocabulary, pieces, bytes_per_s, bpb."""
    table = frame.sort_values("pieces")
    picture, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6))
    left.plot(table.pieces, table.bpb, "o-")
    left.set_ylabel("held-out bits per byte\nafter equal seconds")
    right.plot(table.pieces, table.bytes_per_s / 1e3, "o-", color="#D55E00")
    right.set_ylabel("text read, kB per second")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(table.pieces, [f"{pieces / 1000:.0f}k" for pieces in table.pieces])
        axes.minorticks_off()
        axes.set_xlabel("pieces in the vocabulary\n(one run each, hence no interval)")
    best, most = table.loc[table.bpb.idxmin()], table.iloc[-1]
    headline(picture, f"At equal seconds {best.pieces:,} pieces end {most.bpb - best.bpb:.2f} bits per byte below "
                     f"{most.pieces:,}")
    return picture
