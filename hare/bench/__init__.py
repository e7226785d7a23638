"""Speeds and costs, measured apart from the chain; nothing imports this."""
