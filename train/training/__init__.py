"""Training: models, the training loop with exact resume, evaluation, the run directory."""
