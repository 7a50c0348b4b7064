"""Published numbers, each with where it stands: the paper (Müller et al. 2019) and its replication (Wagner et al.).

Accuracies and errors are in percent; expected calibration errors, fractions of 1, have no unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from lsbook.core import registry

PAPER, REPLICATION = "paper", "replication"

# Networks and data sets of the tables below, as readers know them: those of the catalogue, and those it has not.
PUBLISHED_TITLES = registry.TITLES | {
    "tiny-imagenet": "Tiny ImageNet",
    "alexnet": "AlexNet",
    "resnet56": "ResNet-56",
    "resnet-50": "ResNet-50",
    "inception_v4": "Inception-v4",
    "mlp": "MLP",
    "transformer": "Transformer",
}


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        value: as printed.
        unit: "%", "BLEU" or "", which is that of fractions and ratios, too.
        where: its table, figure or section.
        source: PAPER or REPLICATION.
        spread: the ± printed with it, if any.
        checked: False when the number was not compared with the source's text; tables mark it with a dagger.
    """

    value: float
    unit: str
    where: str
    source: str = PAPER
    spread: float | None = None
    checked: bool = True

    @property
    def shown(self) -> str:
        """Number with its spread, and with a dagger where it was not checked."""
        spread = f" ± {self.spread:g}" if self.spread is not None else ""
        return f"{self.value:g}{spread}{'' if self.checked else '†'}"


@dataclass(frozen=True)
class Panels:
    """A row of Figure 1: network and three classes."""

    dataset: str
    model: str
    classes: tuple[str, str, str]


Row = TypeVar("Row")
Printed = float | tuple[float, float]  # a value, or a value and its spread


def _rows(
    source: str, where: str, unit: str, rows: Mapping[Row, Mapping[str, Printed]], checked: bool = True
) -> dict[Row, dict[str, Published]]:
    """Row -> arm -> Published."""

    def published(entry: Printed) -> Published:
        value, spread = entry if isinstance(entry, tuple) else (entry, None)
        return Published(value, unit, where, source, spread, checked)

    return {row: {arm: published(entry) for arm, entry in arms.items()} for row, arms in rows.items()}


# (data set, model, metric) -> arm. The speech row prints two values with smoothing.
TABLE_1 = (
    _rows(
        PAPER,
        "Table 1",
        "%",
        {
            ("ImageNet", "Inception-v2", "top-1 error"): {"hard": 23.1, "smoothed": 22.8},
            ("ImageNet", "Inception-v2", "top-5 error"): {"hard": 6.3, "smoothed": 6.1},
            ("WSJ speech", "BiLSTM with attention", "word error rate"): {
                "hard": 8.9,
                "smoothed": 7.0,
                "smoothed, second": 6.7,
            },
        },
    )
    | _rows(
        PAPER, "Table 1", "BLEU", {("WMT14 English–German", "Transformer", "BLEU"): {"hard": 25.3, "smoothed": 25.8}}
    )
    | _rows(
        PAPER, "Table 1", "", {("WMT14 English–German", "Transformer", "perplexity"): {"hard": 4.67, "smoothed": 4.92}}
    )
)

# source -> (data set, model) -> arm: top-1 test accuracy without smoothing and with α = 0.1.
TABLE_2 = {
    PAPER: _rows(
        PAPER,
        "Table 2",
        "%",
        {
            ("cifar10", "alexnet"): {"hard": (86.8, 0.2), "smoothed": (86.7, 0.3)},
            ("cifar100", "resnet56"): {"hard": (72.1, 0.3), "smoothed": (72.7, 0.3)},
            ("imagenet", "inception_v4"): {"hard": 80.9, "smoothed": 80.9},
        },
    ),
    REPLICATION: _rows(
        REPLICATION,
        "report",
        "%",
        {
            ("cifar10", "alexnet"): {"hard": 85.01, "smoothed": 85.47},
            ("cifar10", "resnet56"): {"hard": 93.59, "smoothed": 93.33},
            ("cifar100", "resnet56"): {"hard": 71.61, "smoothed": 72.07},
            ("tiny-imagenet", "resnet-50"): {"hard": 72.20, "smoothed": 72.30},
            ("mnist", "mlp"): {"hard": 99.06, "smoothed": 99.31},
        },
    ),
}

# source -> (data set, model) -> arm: expected calibration errors (Figure 2 draws the paper's) without smoothing at
# T = 1, without smoothing at the fitted temperature, that temperature, and with smoothing of the named α at T = 1.
TABLE_3 = {
    PAPER: _rows(
        PAPER,
        "Table 3",
        "",
        {
            ("cifar100", "resnet56"): {"hard": 0.150, "scaled": 0.021, "temperature": 1.9, "smoothed 0.05": 0.024},
            ("imagenet", "inception_v4"): {"hard": 0.071, "scaled": 0.022, "temperature": 1.4, "smoothed 0.1": 0.035},
        },
    )
    | _rows(
        PAPER,
        "Table 3",
        "",
        {("wmt14-en-de", "transformer"): {"hard": 0.056, "scaled": 0.018, "temperature": 1.13, "smoothed 0.1": 0.019}},
        checked=False,
    ),
    REPLICATION: _rows(
        REPLICATION,
        "report",
        "",
        {
            ("cifar100", "resnet56"): {
                "hard": 0.207,
                "scaled": 0.029,
                "temperature": 2.9,
                "smoothed 0.05": 0.053,
                "smoothed 0.1": 0.043,
            },
            ("cifar10", "alexnet"): {"hard": 0.097, "scaled": 0.012, "temperature": 2.5, "smoothed 0.05": 0.026},
            ("cifar10", "resnet56"): {"hard": 0.049, "scaled": 0.006, "temperature": 3.1, "smoothed 0.05": 0.028},
            ("mnist", "mlp"): {"hard": 0.002, "scaled": 0.001, "temperature": 1.06, "smoothed 0.05": 0.056},
            ("tiny-imagenet", "resnet-50"): {
                "hard": 0.150,
                "scaled": 0.013,
                "temperature": 1.7,
                "smoothed 0.05": 0.060,
                "smoothed 0.1": 0.045,
            },
            ("multi30k", "transformer"): {
                "hard": 0.449,
                "scaled": 0.058,
                "temperature": 1.8,
                "smoothed 0.1": 0.372,
                "smoothed 0.3": 0.110,
            },
        },
    ),
}

# source -> network -> arm: test error. The hard teacher uses dropout, the smoothed one none, and students no
# regularisation.
MNIST_DISTILLATION = {
    PAPER: _rows(
        PAPER,
        "section 4",
        "%",
        {"teacher": {"hard": 0.67, "smoothed": 0.59}, "student": {"hard": 0.74, "smoothed": 0.91}},
    ),
    REPLICATION: _rows(
        REPLICATION,
        "report",
        "%",
        {"teacher": {"hard": 0.81, "smoothed": 0.69}, "student": {"hard": 0.93, "smoothed": 1.05}},
    ),
}

# Training examples and augmented views of each behind the mutual information.
MUTUAL_INFORMATION = {
    "examples": Published(600, "", "Figure 6", checked=False),
    "views": Published(10, "", "Figure 6", checked=False),
}

# Where each claim is stated.
STATED = {
    "C1": "Table 2",
    "C2": "Figure 1",
    "C3": "Figure 1",
    "C4": "Figure 1",
    "C5": "Figure 1",
    "C6": "Table 3",
    "C7": "Table 3",
    "C8": "Figure 1",
    "C9": "Table 3",
    "C10": "Figure 4",
    "C11": "Figure 4",
    "C12": "section 4",
    "C13": "Figure 5",
    "C14": "Figure 5",
    "C15": "Figure 5",
    "C16": "Figure 6",
    "C17": "supplement",
    "C18": "section 2",
    "C19": "Figure 5",
    "C20": "Figure 4",
}
# What the replication's report says of them in words.
REPLICATED = {
    "C1": "confirmed",
    "C2": "confirmed in pictures",
    "C3": "confirmed in pictures",
    "C4": "confirmed in pictures",
    "C6": "confirmed in most cases",
    "C9": "confirmed at α = 0.3",
    "C10": "no gain found",
    "C11": "at high temperatures only (its likelihoods are normalised over time)",
    "C12": "confirmed",
    "C13": "no gain found",
    "C14": "confirmed",
    "C15": "confirmed",
    "C16": "not reproduced",
}

# In the order of its rows. Every row has about 100 examples a class and α = 0.1.
FIGURE_1 = (
    Panels("cifar10", "alexnet", ("airplane", "automobile", "bird")),
    Panels("cifar100", "resnet56", ("beaver", "dolphin", "otter")),
    Panels("imagenet", "inception_v4", ("tench", "meerkat", "cleaver")),
    Panels("imagenet", "inception_v4", ("toy poodle", "miniature poodle", "tench")),
)
