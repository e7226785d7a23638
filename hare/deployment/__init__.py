"""Deployment: GGUF export, quantised weights, and what they cost in quality and save in time and memory."""
