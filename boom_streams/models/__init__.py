"""Machine-learning models: images and numbers of an alert, and the scores that they give."""

from boom_streams.models.features import History, history
from boom_streams.models.images import triplets
from boom_streams.models.registry import Model, known_models, models_of
from boom_streams.models.scores import Scorer, Scores, Subject

__all__ = ["History", "Model", "Scorer", "Scores", "Subject", "history", "known_models", "models_of", "triplets"]
