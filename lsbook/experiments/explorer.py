"""What the explorer's parts are made from: recorded activations and logits of the first seed."""

from lsbook.catalogue import DATASETS
from lsbook.experiments import captions
from lsbook.experiments.calibration import Study, Sweep
from lsbook.experiments.obtain import Arms
from lsbook.experiments.projections import SPLIT_TITLES
from lsbook.page import Part

SEED = "0"  # further seeds' records keep no arrays of this kind
LOGITS = 100_000  # of a network at most, 200 kB as float16


def target() -> Part:
    """Target, loss and best logit gap. Computed in the page alone."""
    return Part("target", "The target, and the loss of one example. Computed, without any trained network.", {})


def projection(arms: Arms, classes: tuple[int, int, int]) -> Part:
    """Any three classes in the plane of their templates, seen in the first network of both arms.

    classes: labels of the three that are shown first.
    """
    hard, smoothed = arms.hard[0], arms.smoothed[0]
    data = {
        "names": DATASETS[hard.run.dataset].classes,
        "chosen": classes,
        "alpha": arms.alpha,
        "labels": {split: hard.arrays[f"{split}_labels"] for split in SPLIT_TITLES},
    }
    for name, record in (("hard", hard), ("smoothed", smoothed)):
        activations = {split: record.arrays[f"{split}_activations"] for split in SPLIT_TITLES}
        data[name] = {"templates": record.arrays["templates"], "activations": activations}
    caption = (
        "Both networks were trained on the same images from the same seed, and the same images are shown. A line runs "
        "from the origin through each class's template. "
    )
    return Part("projection", caption + captions.made_from(arms.profile, (hard, smoothed)), data)


def temperature(study: Study) -> Part:
    """The test logits of every network of the calibration chapter, to be divided by any temperature."""
    shown = min(_examples(sweep) for sweep in study.sweeps)
    caption = (
        f"The first {shown:,} test images of each network. Bars: accuracy of the predictions in a bin of confidence; "
        "circles: their mean confidence; faint: fewer than 10 images. On the dashed line confidence is as high as "
        "accuracy. "
    )
    data = {"networks": [_network(sweep) for sweep in study.sweeps]}
    return Part("temperature", caption + study.made_from(study.sweeps), data)


def _examples(sweep: Sweep) -> int:
    n, n_classes = sweep.records[0.0][0].arrays["test_logits"].shape
    return min(n, LOGITS // n_classes)


def _network(sweep: Sweep) -> dict:
    """Labels, and for hard targets, the compared and the largest factor the logits and the fitted temperature."""
    n = _examples(sweep)
    factors = []
    for alpha in sorted({0.0, sweep.alpha, max(sweep.records)}):
        record = sweep.records[alpha][0]
        logits, fitted = record.arrays["test_logits"][:n], record.metrics["temperature"]
        factors.append({"alpha": alpha, "fitted": fitted, "logits": logits})
    names = {"title": sweep.title, "dataset": DATASETS[sweep.run.dataset].title}
    return names | {"labels": record.arrays["test_targets"][:n], "factors": factors}
