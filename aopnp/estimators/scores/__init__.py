"""Scores: what a policy ranks the terms by. A new one is one file and one line in this table."""

from aopnp.estimators.scores.norms import Norms, SecondNorms
from aopnp.estimators.scores.one_pixel import OnePixel
from aopnp.estimators.scores.score import Score
from aopnp.estimators.scores.window import WindowNorms

SCORES: dict[str, Score] = {
    "norms": Norms(),
    "second": SecondNorms(),
    "window": WindowNorms(),
    "pixel": OnePixel(),
}

__all__ = ["SCORES", "Norms", "OnePixel", "Score", "SecondNorms", "WindowNorms"]
