"""Figures and tables, drawn from ``results/`` alone; nothing here imports torch."""
