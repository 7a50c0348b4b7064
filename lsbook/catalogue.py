"""What there is to choose from: data sets and models by name. Adding one is one entry here.

The tables hold plain values, so a run's names are checked without torch.
"""

from dataclasses import dataclass, field
from importlib import import_module


@dataclass(frozen=True)
class Dataset:
    """A labelled image data set and where its files may come from.

    heldout: how many examples at the end of the training file are kept for fitting temperatures and the like.
    image_columns, label_columns: names under which the Hub's Parquet files may hold them, first match wins.
    torchvision: class in `torchvision.datasets` that reads the original files, or None when embedded.
    archives: for each file to download its folder, address and SHA-256.
    """

    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    heldout: int
    size: str = ""
    image_columns: tuple[str, ...] = ("image", "img")
    label_columns: tuple[str, ...] = ("label", "fine_label")
    torchvision: str | None = None
    archives: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Model:
    """Where a network is defined (`module:class`) and its arguments besides input shape and number of classes."""

    title: str
    factory: str
    arguments: dict = field(default_factory=dict)

    def build(self, shape: tuple[int, int, int], n_classes: int):
        """The network, freshly initialised from torch's random state, for inputs of `shape` (C, H, W)."""
        module, name = self.factory.split(":")
        return getattr(import_module(module), name)(shape, n_classes, **self.arguments)


_MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

DATASETS = {
    "cifar10": Dataset(
        title="CIFAR-10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape=(3, 32, 32),
        heldout=10_000,
        size="170 MB",
        torchvision="CIFAR10",
        archives=(
            (
                "",
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
    ),
    "mnist": Dataset(
        title="MNIST",
        classes=tuple("0123456789"),
        shape=(1, 28, 28),
        heldout=10_000,
        size="12 MB",
        torchvision="MNIST",
        archives=tuple(
            ("MNIST/raw", _MNIST_MIRROR + name, checksum)
            for name, checksum in {
                "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            }.items()
        ),
    ),
    "digits": Dataset(title="digits (scikit-learn)", classes=tuple("0123456789"), shape=(1, 32, 32), heldout=300),
}

MODELS = {
    "mlp": Model("MLP 2 × 1200", "lsbook.models.mlp:MLP", {"hidden": 1200}),
    "mlp-dropout": Model("MLP 2 × 1200 with dropout", "lsbook.models.mlp:MLP", {"hidden": 1200, "dropout": 0.5}),
    "mlp-800": Model("MLP 2 × 800", "lsbook.models.mlp:MLP", {"hidden": 800}),
    "alexnet": Model("AlexNet", "lsbook.models.alexnet:AlexNet"),
    "alexnet-16": Model("AlexNet, a quarter as wide", "lsbook.models.alexnet:AlexNet", {"width": 16}),
}
