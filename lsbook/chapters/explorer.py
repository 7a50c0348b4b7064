"""What the explorer's parts are made from: recorded activations and logits of the first seed, errors of all seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from lsbook.analysis.statistics import difference_interval, mean_interval
from lsbook.chapters import distillation, machine_translation
from lsbook.chapters.calibration import FACTORS, Study, Sweep
from lsbook.chapters.distillation import equal_smoothness, mnist
from lsbook.chapters.projections import SPLIT_TITLES
from lsbook.chapters.shared.comparison import Comparison, smoothing_arm, smoothing_arms
from lsbook.core import registry
from lsbook.core.store import Record, Store
from lsbook.figures.forest import Axis
from lsbook.outputs import Widget
from lsbook.recipes.profiles import PROFILES
from lsbook.runner.obtain import obtain

SEED = "0"  # further seeds' records keep no arrays of this kind
LOGITS = 30_000  # of a network at most, 60 kB as float16
MOST_RANKED = 2  # networks whose predictions can be accepted and rejected


def target() -> Widget:
    """Target, loss and optimal logit gap. Computed in the page alone."""
    return Widget("target", "The target, and the loss of one example. Computed, without any trained network.", {})


def projection(comparison: Comparison, classes: tuple[int, int, int], store: Store | None = None) -> Widget:
    """Any three classes in the plane of their templates, in networks of one seed that differ in the smoothing factor.

    Args:
        comparison: its hard and smoothed networks of the first seed are shown, and of the calibration chapter's
            smoothing factors those that are recorded of it.
        classes: labels of the three that are shown first.
        store: the project's own when None.
    """
    store = Store() if store is None else store
    seed = comparison.reference.records[0].run.seed
    factors = FACTORS[comparison.profile].get(comparison.network, ())
    others = [store.get(smoothing_arm(alpha).run(comparison.profile, *comparison.network, seed)) for alpha in factors]
    shown = [arm.records[0] for arm in comparison.arms if not arm.settings]
    recorded = {record.run.alpha: record for record in (*filter(None, others), *shown)}
    labels = comparison.reference.records[0].arrays
    data = {
        "names": comparison.classes,
        "chosen": classes,
        "labels": {split: labels[f"{split}_labels"] for split in SPLIT_TITLES},
        "networks": [
            {
                "alpha": alpha,
                "templates": record.arrays["templates"],
                "activations": {split: record.arrays[f"{split}_activations"] for split in SPLIT_TITLES},
            }
            for alpha, record in sorted(recorded.items())
        ],
    }
    caption = (
        "The networks were trained on the same images from the same seed, and the same images are shown. A line runs "
        "from the origin through each class's template. "
    )
    records = list(recorded.values())
    return Widget("projection", caption, data, records)


def information(comparison: Comparison) -> Widget:
    """Information along the training about any two classes, of the networks of each arm."""
    arrays = comparison.reference.records[0].arrays
    data = {
        "names": comparison.classes,
        "pairs": arrays["probe_pairs"],
        "steps": arrays["probe_steps"].astype(np.float32),
        "arms": [
            {
                "name": arm.name,
                "title": arm.label,
                "curves": [np.float32(r.arrays["train_information"][:, :, -1].mean(axis=-1)) for r in arm.records],
            }
            for arm in comparison.arms
        ],
    }
    caption = (
        f"{comparison.title}, training images: midpoint of both estimates from all views, mean over the seeds and a "
        "band from the lowest to the highest."
    )
    return Widget("information", caption, data, comparison.records)


def temperature(study: Study) -> Widget:
    """Test logits of every network of the calibration chapter, to be divided by any temperature."""
    networks = [_network(sweep) for sweep in study.with_logits]
    records = [record for sweep in study.with_logits for record in _with_logits(sweep)]
    shown = "; ".join(f"{network['title']}: {len(network['labels']):,}" for network in networks)
    caption = (
        f"The first test images ({shown}). Bars: accuracy of the predictions in a bin of confidence; circles: their "
        "mean confidence; faint: fewer than 10 images. On the dashed line confidence is as high as accuracy. "
    )
    return Widget("temperature", caption, {"networks": networks}, records)


def _network(sweep: Sweep) -> dict:
    """Labels, and of each factor's first network the logits and the fitted temperature."""
    recorded = _with_logits(sweep)
    return {
        "name": f"{sweep.run.dataset}-{sweep.run.model}",
        "title": sweep.title,
        "labels": shown_logits(recorded[0])[1],
        "factors": [
            {"alpha": r.run.alpha, "fitted": r.metrics["temperature"], "logits": shown_logits(r)[0]} for r in recorded
        ],
    }


def _with_logits(sweep: Sweep) -> list[Record]:
    """List each factor's first record, where its logits are kept."""
    return [records[0] for records in sweep.records.values() if "test_logits" in records[0].arrays]


def shown_logits(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (n, K) and labels (n,) of the first test images of a record, as many as a page carries."""
    logits, labels = record.arrays["test_logits"], record.arrays["test_targets"]
    n = LOGITS // logits.shape[1]
    return logits[:n], labels[:n]


def risk(study: Study) -> Widget:
    """Test logits of each compared network, to be accepted or rejected by how far they are trusted."""
    sweeps = study.with_logits[:MOST_RANKED]
    networks = [
        {
            "title": sweep.title,
            "labels": shown_logits(sweep.comparison.reference.records[0])[1],
            "arms": [
                {"name": arm.name, "title": arm.label, "logits": shown_logits(arm.records[0])[0]}
                for arm in sweep.comparison.arms[:2]
            ],
        }
        for sweep in sweeps
    ]
    caption = (
        "Risk: the share of errors among the accepted test images, those that a network trusts most. Equal scores "
        "count as their mean over all orders. Both networks see the same images, the first of the test set."
    )
    records = [arm.records[0] for sweep in sweeps for arm in sweep.comparison.arms[:2]]
    return Widget("risk", caption, {"networks": networks}, records)


def students(study: distillation.Study) -> Widget:
    """Errors of students by their teacher: over T on MNIST, over the teacher's α at equal γ on CIFAR-10."""
    experiments = [_students_by_temperature(study.mnist), _students_by_smoothing(study.cifar10)]
    caption = (
        "Test errors in percent: means over the seeds with 95 % Student t intervals, of differences Welch intervals; "
        "small dots are seeds. Dashed lines: the mean of students without a teacher, and no difference."
    )
    records = [*study.mnist.records, *study.mnist.student_records, *study.cifar10.records]
    return Widget("students", caption, {"experiments": experiments}, records)


def _students_by_temperature(study: mnist.Study) -> dict:
    teachers = {name: study.roles["teacher", name] for name in ("hard", "smoothed")}
    points = [
        _point(f"T = {t:g}", teachers, {name: study.students[t, name] for name in teachers}) for t in study.temperatures
    ]
    title = f"{registry.short_title(study.plan.dataset)}, by T"
    return _experiment(title, points, study.roles["alone", "hard"])


def _students_by_smoothing(study: equal_smoothness.Study) -> dict:
    points = []
    for alpha in study.grid:
        teachers = {"hard": study.points["teacher", 0.0], "smoothed": study.points["teacher", alpha]}
        taught = {name: study.points[f"{name} teacher", alpha] for name in teachers}
        points.append(_point(f"α = {alpha:g}", teachers, taught))
    title = f"{registry.short_title(study.plan.dataset)}, by α at equal γ"
    return _experiment(title, points, study.points["alone", 0.0])


def _point(label: str, teachers: Mapping[str, Sequence[Record]], taught: Mapping[str, Sequence[Record]]) -> dict:
    """What is known of each teacher and its students, by the teacher's name, and by how much the students differ.

    An interval is [mean, low, high]; of a single run all three are its value.
    """
    errors = {name: mnist.errors(records) for name, records in taught.items()}
    hard, smoothed = errors["hard"], errors["smoothed"]
    several = min(len(hard), len(smoothed)) > 1
    arms = {
        name: {
            "teacher": mnist.errors(teachers[name]).mean(),
            "seeds": errors[name].tolist(),
            "student": mean_interval(errors[name]) if several else [errors[name].mean()] * 3,
            "softness": mnist.smoothness(records),
            "temperature": np.mean([record.metrics["teacher_temperature"] for record in records]),
        }
        for name, records in taught.items()
    }
    return {"label": label, "arms": arms, "difference": difference_interval(hard, smoothed)}


def _experiment(title: str, points: Sequence[dict], baseline: Sequence[Record]) -> dict:
    """Points on axes that hold all of them. baseline: students without a teacher."""
    without = mnist.errors(baseline).mean()
    ends = [end for point in points for arm in point["arms"].values() for end in (*arm["student"], *arm["seeds"])]
    axes = {
        "errors": Axis([without, *ends]),
        "differences": Axis([0.0, *(end for point in points for end in point["difference"])]),
    }
    ranges = {
        name: {"from": axis.low, "to": axis.high, "ticks": [float(f"{tick:g}") for tick in axis.ticks]}
        for name, axis in axes.items()
    }
    return {"title": title, "points": points, "baseline": without, "axes": ranges}


def translations(profile: str, alpha: float, store: Store | None = None) -> Widget | None:
    """Our own sentences as the first network of hard and of smoothed targets translates them, token by token.

    None while these are not recorded: no training is started for them.
    """
    store = Store() if store is None else store
    arms = smoothing_arms(alpha)
    for name in reversed(PROFILES) if profile == "auto" else (profile,):
        runs = [machine_translation.run(name, arm, int(SEED)) for arm in arms]
        if all(run in store for run in runs):
            hard, smoothed = obtain(runs, store)
            return _translations(alpha, hard, smoothed)
    return None


def _translations(alpha: float, hard: Record, smoothed: Record) -> Widget:
    data = {
        "alpha": alpha,
        "language": registry.corpus(hard.run.dataset).languages[1],
        "sources": hard.arrays["example_sources"].tolist(),
        "references": hard.arrays["example_references"].tolist(),
        "hard": machine_translation.example_tokens(hard),
        "smoothed": machine_translation.example_tokens(smoothed),
    }
    caption = (
        "Under each token its probability after those before it; the last is the end of the sentence. The sentences "
        "are this book's own. "
    )
    return Widget("translation", caption, data, (hard, smoothed))
