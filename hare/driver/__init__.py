"""The chain run as a build: keys, execution of notebooks, doctor, status."""
