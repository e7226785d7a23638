"""D1: openly licensed sources, cleaned by human priors that are visible, counted and explainable."""
