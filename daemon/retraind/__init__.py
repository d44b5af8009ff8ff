"""retraind: watches LLM traces, notices drift and failing evals, and asks for retraining once."""

__version__ = "0.1.0"
