"""The base that every stage stands on: profiles, data archives, artifacts with provenance, the notebook driver."""
