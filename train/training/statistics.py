"""Statistics of accuracies: a confidence interval, and tests of the difference of two models."""

from collections.abc import Sequence

CONFIDENCE = 0.95


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy, 0 to 1, by Wilson's score method.

    `images` is at least 1. (E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927)
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, images).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test: whether two models have the same accuracy on the same images.

    Parameters
    ----------
    only_first, only_second
        Number of images that only the first, and only the second model classifies correctly. Under the null hypothesis
        each of them is as likely to be the one as the other.
    """
    from scipy.stats import binomtest

    different = only_first + only_second
    return float(binomtest(only_first, different).pvalue) if different else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values of several tests, adjusted by Holm's method, in the same order.

    Those below a level are significant at this level for all tests together. (S. Holm, "A Simple Sequentially Rejective
    Multiple Test Procedure", 1979)
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = least
    return adjusted
