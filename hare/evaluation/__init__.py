"""The leaderboard protocol with lm-eval from local files, measures that resolve small models, and the leakage test."""
