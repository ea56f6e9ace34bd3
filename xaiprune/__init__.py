"""xaiprune: hyperparameter optimisation for attribution-guided pruning."""

__version__ = "0.1.0"
