"""Do 95 % intervals hold the mean 95 times in 100, do tests err 5 times in 100? `python benchmarks/intervals.py`.

2,000 simulated studies each. With so many, a true 95 % is measured as 94.0 to 96.0 nineteen times in twenty.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from recontrast.evaluation.statistics import bootstrap_interval, mixed_model, paired_test

TRIALS = 2000
RESAMPLES = 1999
SUBJECTS = (12, 20, 40)
METHODS = ("outer", "t", "studentised", "bca", "bca-expanded")

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def no_gain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paired differences of two equally good methods, larger in difficult subjects: symmetric, heavy tails."""
    return rng.lognormal(0, 0.5, shape) * (rng.lognormal(0, 0.3, shape) - rng.lognormal(0, 0.3, shape))


def gain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paired differences when the gain grows with the subject's difficulty: skewed; mean exp(1/8)."""
    return rng.lognormal(0, 0.5, shape) * rng.normal(1, 0.5, shape)


CASES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.normal(0, 1, shape), 0.0),
    "skewed (lognormal 0.5)": (lambda rng, shape: rng.lognormal(0, 0.5, shape), float(np.exp(0.125))),
    "very skewed (exponential)": (lambda rng, shape: rng.exponential(1, shape), 1.0),
    "extreme (lognormal 1)": (lambda rng, shape: rng.lognormal(0, 1, shape), float(np.exp(0.5))),
    "differences, no gain": (no_gain, 0.0),
    "differences, skewed gain": (gain, float(np.exp(0.125))),
}
NULL = ("normal", "differences, no gain")


def coverage(draw: Draw, mean: float, n: int) -> dict[str, float]:
    """Share of studies whose interval holds the true mean, in percent, for each method."""
    inside = dict.fromkeys(METHODS, 0)
    for trial, sample in enumerate(draw(np.random.default_rng(n), (TRIALS, n))):
        for method in METHODS:
            found = bootstrap_interval(sample, method=method, resamples=RESAMPLES, seed=trial)  # type: ignore[arg-type]
            inside[method] += found.low <= mean <= found.high
    return {method: 100 * count / TRIALS for method, count in inside.items()}


def width(n: int) -> float:
    """Mean width of the default interval of normal values, as a multiple of Student's t."""
    samples = np.random.default_rng(n).normal(0, 1, (200, n))
    found = [[bootstrap_interval(sample, method=method, seed=0) for method in ("outer", "t")] for sample in samples]
    return float(np.mean([(outer.high - outer.low) / (t.high - t.low) for outer, t in found]))


def false_findings(draw: Draw, n: int) -> dict[str, float]:
    """Share of studies without any gain in which a test finds one at 5 %, in percent."""
    samples = draw(np.random.default_rng(n), (TRIALS, n))
    return {
        test: 100 * float(np.mean([paired_test(sample, test).p <= 0.05 for sample in samples]))  # type: ignore[arg-type]
        for test in ("wilcoxon", "t", "auto")
    }


def mixed_coverage(subjects: int) -> tuple[float, float]:
    """Coverage of the mixed model, 1 to 4 sessions a subject, in percent; and the share of fits that converged."""
    rng = np.random.default_rng(subjects)
    inside = fitted = 0
    for _ in range(TRIALS // 4):
        counts = rng.integers(1, 5, subjects)
        found = mixed_model([list(rng.normal(0, 1) + rng.normal(0, 0.5, count)) for count in counts])
        inside += found.interval.low <= 0 <= found.interval.high
        fitted += found.fitted
    return 400 * inside / TRIALS, 400 * fitted / TRIALS


def main() -> None:
    """Measure and print."""
    print(f"coverage of 95 % intervals of a mean, {TRIALS} studies, %")
    print(f"{'values':<28}{'subjects':>9}" + "".join(f"{method:>14}" for method in METHODS))
    for name, (draw, mean) in CASES.items():
        for n in SUBJECTS:
            found = coverage(draw, mean, n)
            print(f"{name:<28}{n:>9}" + "".join(f"{found[method]:>14.1f}" for method in METHODS), flush=True)
    print("width of outer for normal values, Student's t = 1: " + ", ".join(f"{n}: {width(n):.2f}" for n in SUBJECTS))
    print("\nfalse findings where there is no gain, 5 % wanted (the verdict errs in 100 % - coverage above)")
    print(f"{'values':<28}{'subjects':>9}{'wilcoxon':>14}{'t':>14}{'auto':>14}")
    for name in NULL:
        for n in SUBJECTS:
            errors = false_findings(CASES[name][0], n)
            print(f"{name:<28}{n:>9}" + "".join(f"{errors[test]:>14.1f}" for test in errors))
    print(f"\nmixed model, 1 to 4 sessions a subject, {TRIALS // 4} studies: coverage %, converged %")
    for n in SUBJECTS:
        print("{:>9}{:>10.1f}{:>10.1f}".format(n, *mixed_coverage(n)), flush=True)
    sample = np.random.default_rng(0).normal(0, 1, 40)
    start = time.perf_counter()
    for seed in range(20):
        bootstrap_interval(sample, seed=seed)
    print(f"\ndefault interval, 40 subjects, 9999 resamples: {1000 * (time.perf_counter() - start) / 20:.1f} ms")


if __name__ == "__main__":
    main()
