"""What each notebook answers, in a sentence or two made from the metrics that its stage recorded.

The notebook shows it first (`hare.core.stage.Stage.answer`); the README's findings are the same sentences.
"""
