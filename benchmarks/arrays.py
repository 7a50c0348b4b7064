"""What is computed from recorded arrays, against its formula written down."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from benchmarks.limits import Counts
from benchmarks.timing import Benchmark
from lsbook.analysis import calibration as measures
from lsbook.analysis.information import REACH, TERMS, mutual_information
from lsbook.analysis.projection import project, span_coordinates, template_plane

IMAGES, CLASSES, BINS = 10_000, 100, 15  # CIFAR-100's test set
CIFAR_CLASSES, WIDTH = 10, 193  # AlexNet's templates
PLANES = 8  # into which the activations are projected in a round
EXAMPLES, VIEWS = 600, 10  # of the paper's estimate


def calibration() -> Benchmark:
    """A temperature fitted, and the ECE at it."""
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=IMAGES)
    logits = generator.normal(size=(IMAGES, CLASSES)).astype(np.float32)
    logits[np.arange(IMAGES), labels] += 3

    def ours() -> float:
        temperature = measures.fit_temperature(logits, labels)
        return measures.expected_calibration_error(measures.softmax(logits, temperature), labels, BINS)

    return Benchmark(
        "Temperature and ECE",
        "images",
        IMAGES,
        ours,
        lambda: plain_calibration(logits, labels),
        "exponentials in float64, one a logit for each step of the search",
        counts=Counts(0, logits.nbytes),
    )


def plain_calibration(logits: np.ndarray, labels: np.ndarray) -> float:
    """Minimise the loss over the temperature, then loop over the bins."""

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    probabilities = softmax(logits / minimize_scalar(loss, bounds=(0.01, 100), method="bounded").x, axis=1)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0.0
    for b in range(BINS):
        inside = (confidence > b / BINS) & (confidence <= (b + 1) / BINS)
        if inside.any():
            error += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return error


def projection() -> Benchmark:
    """Activations in the plane of three templates, from the coordinates that a record keeps of them.

    A record has each activation's coordinates in the span of the class templates: r numbers instead of d, from which
    projections are the same. The plain way projects the activations themselves. Both compute in float64.
    """
    generator = np.random.default_rng(0)
    templates = generator.normal(size=(CIFAR_CLASSES, WIDTH)).astype(np.float32)
    activations = generator.normal(size=(IMAGES, WIDTH)).astype(np.float32)
    kept, kept_templates = (array.astype(np.float32) for array in span_coordinates(activations, templates))

    def ours() -> np.ndarray:
        for first in range(PLANES):
            found = project(kept, template_plane(kept_templates[first : first + 3]))
        return found

    def plain() -> np.ndarray:
        for first in range(PLANES):
            found = plain_projection(activations, templates[first : first + 3])
        return found

    return Benchmark(
        "Projection",
        "images",
        IMAGES * PLANES,
        ours,
        plain,
        "copies in float64, and the check that all values are finite",
        counts=Counts(4 * kept.size, kept.nbytes) * PLANES,
    )


def plain_projection(activations: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """Gram and Schmidt, then a product, in float64."""
    templates = templates.astype(np.float64)
    first, second = templates[1] - templates[0], templates[2] - templates[0]
    u = first / np.linalg.norm(first)
    rest = second - (second @ u) * u
    return activations.astype(np.float64) @ np.stack([u, rest / np.linalg.norm(rest)]).T


def information() -> Benchmark:
    """The plug-in estimate of the paper's size."""
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(EXAMPLES, 1)) + generator.normal(size=(EXAMPLES, VIEWS))
    return Benchmark(
        "Mutual information",
        "samples",
        samples.size,
        lambda: mutual_information(samples),
        lambda: plain_information(samples),
        "one core: a few passes of NumPy over the samples for each term of the series",
        counts=Counts(2 * TERMS * (samples.size + (2 * REACH + 1) * EXAMPLES), samples.nbytes),
    )


def plain_information(samples: np.ndarray) -> float:
    """The formula, sample by sample."""
    means = samples.mean(axis=1)
    variance = ((samples - means[:, None]) ** 2).mean()
    total = 0.0
    for example, mean in zip(samples, means, strict=True):
        for f in example:
            others = logsumexp(-((f - means) ** 2) / (2 * variance)) - np.log(len(means))
            total += -((f - mean) ** 2) / (2 * variance) - others
    return total / samples.size
