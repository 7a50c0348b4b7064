"""Measures of later work on a trained image network: selective prediction, calibration without bins, feature geometry.

Everything is computed in float64 from the network's own logits and features at the end of a training. A number that is
not defined (as the AUROC of correct against wrong predictions where nothing is wrong) is left out of the record.
"""

from collections.abc import Callable

import numpy as np

from lsbook.analysis import calibration, selective
from lsbook.analysis.geometry import DegenerateFeaturesError, class_separation, neural_collapse
from lsbook.training.images.summary import ModelOutputs

RISK, COVERAGE = 0.05, 0.8  # at which the other of the two is recorded

Score = Callable[[np.ndarray], np.ndarray]  # of logits (N, K), confidence scores (N,)


def selective_prediction(heldout: ModelOutputs, test: ModelOutputs) -> dict[str, float]:
    """Measure selective prediction on both splits by three scores, as `{split}_{score}_{measure}`.

    Scores are msp (largest probability), max_logit, and normalised_logit, whose p and centring are chosen by AURC on
    the held-out images and recorded as normalised_logit_p and normalised_logit_centred (0 or 1); there is none without
    held-out images. Measures are aurc, augrc, coverage_at_risk (of 5 %), risk_at_coverage (of 80 %), and auroc of
    correct against wrong predictions; all are fractions of 1.
    """
    found: dict[str, float] = {}
    splits = {"test": test}
    normalisation = None
    if len(heldout.labels):
        normalisation = selective.fit_normalisation(heldout.logits, heldout.labels)
        found |= {"normalised_logit_p": float(normalisation.p)}
        found |= {"normalised_logit_centred": float(normalisation.centred)}
        splits["heldout"] = heldout
    for split, outputs in splits.items():
        correct = outputs.logits.argmax(axis=1) == outputs.labels
        for name, score_of in confidence_scores(normalisation).items():
            score = score_of(outputs.logits)
            measures = {
                "aurc": selective.aurc(score, correct),
                "augrc": selective.augrc(score, correct),
                "coverage_at_risk": selective.coverage_at_risk(score, correct, RISK),
                "risk_at_coverage": selective.risk_at_coverage(score, correct, COVERAGE),
            }
            if 0 < correct.sum() < len(correct):
                measures["auroc"] = selective.ranking_auroc(score, correct)
            found |= {f"{split}_{name}_{measure}": value for measure, value in measures.items()}
    return found


def risk_curves(test: ModelOutputs, normalisation: selective.Normalisation | None) -> dict[str, np.ndarray]:
    """Measure the risk at coverage of 1 % to 100 % of the test images, by score.

    normalisation: of the normalised logit; None for a record without that score.

    Returns:
        test_{score}_risk (100,) fractions of 1, as float32: see `selective.risk_by_hundredths`.
    """
    correct = test.logits.argmax(axis=1) == test.labels
    return {
        f"test_{name}_risk": selective.risk_by_hundredths(score_of(test.logits), correct).astype(np.float32)
        for name, score_of in confidence_scores(normalisation).items()
    }


def confidence_scores(normalisation: selective.Normalisation | None) -> dict[str, Score]:
    """The scores that predictions are ranked by: largest probability, largest logit, and normalised logit if given."""
    scores: dict[str, Score] = {"msp": selective.max_probability, "max_logit": selective.max_logit}
    if normalisation is not None:
        scores["normalised_logit"] = lambda logits: selective.normalised_max_logit(logits, *normalisation)
    return scores


def calibration_without_bins(split: ModelOutputs, temperature: float = 1.0) -> dict[str, float]:
    """Measure calibration of softmax(logits / temperature) without a choice of bins, as metrics by name.

    They are the smooth ECE, miscalibration and discrimination of the isotonic fit (CORP), the bias-corrected squared
    error of Kumar et al. (2019), and the Brier score.

    The smooth ECE is that of its definition; as smooth_ece_relplot also the value of the package relplot, which counts
    the most confident predictions less.
    """
    probabilities = calibration.softmax(split.logits, temperature)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == split.labels
    isotonic = calibration.isotonic_decomposition(confidence, correct)
    return {
        "smooth_ece": calibration.smooth_ece(confidence, correct, whole_ends=True),
        "smooth_ece_relplot": calibration.smooth_ece(confidence, correct),
        "isotonic_miscalibration": isotonic.miscalibration,
        "isotonic_discrimination": isotonic.discrimination,
        "debiased_squared_error": calibration.confidence_reliability(confidence, correct).debiased_squared_error,
        "brier": calibration.brier_score(probabilities, split.labels).score,
    }


def feature_geometry(train: ModelOutputs, test: ModelOutputs, templates: np.ndarray) -> dict[str, float]:
    """Measure class separation and neural collapse of penultimate features, as metrics by name.

    templates: (K, d + 1) with the bias last. The names are {train,test}_class_separation (R²),
    {train,test}_distance_within (d̄_within), train_nc1, train_nc2 (of class means) and train_nc2_templates. Nothing
    where one of them is not defined, as of a network that has not learnt anything, or where a class has no training
    image here, or all test images are of one.
    """
    found: dict[str, float] = {}
    if len(np.unique(train.labels)) < len(templates) or len(np.unique(test.labels)) < 2:
        return found
    try:
        for name, split in {"train": train, "test": test}.items():
            separation = class_separation(split.activations[:, :-1], split.labels)
            found |= {f"{name}_class_separation": separation.r2, f"{name}_distance_within": separation.within}
        collapse = neural_collapse(train.activations[:, :-1], train.labels, templates[:, :-1])
    except DegenerateFeaturesError:
        return {}
    assert collapse.nc2_templates is not None  # since there are templates
    return found | {
        "train_nc1": collapse.nc1,
        "train_nc2": collapse.nc2,
        "train_nc2_templates": collapse.nc2_templates,
    }
