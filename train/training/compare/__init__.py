"""Compare runs: settings, curves, accuracies with confidence intervals, McNemar's test, classes."""
