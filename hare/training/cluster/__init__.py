"""What a run on many GPUs takes: estimate, simulation, scripts."""
