"""The 5-gram leakage measure and its controls."""
