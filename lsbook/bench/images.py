"""Training on images, and a teacher's answers to all views of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lsbook.bench.limits import Counts, count_flops, count_step
from lsbook.bench.timing import Benchmark
from lsbook.catalogue import DATASETS, MODELS
from lsbook.data.images import Images
from lsbook.experiments import profiles
from lsbook.operators import declare_missing
from lsbook.run import Run
from lsbook.training import augmentation, precision, teachers
from lsbook.training.images import ImageTrainer
from lsbook.training.losses import smoothed_cross_entropy

STEPS = {"mlp": 60, "alexnet": 20, "resnet56": 3}  # of training in a round
TAUGHT = 40  # images whose views a teacher sees in a round
WORKERS = 2  # of the plain way's DataLoader


def mlp() -> Benchmark:
    """The MNIST network under the laptop recipe."""
    return _training(
        "mnist",
        "mlp",
        "the three products of each layer, and moving 2.4 million weights, gradients and momenta at each step",
    )


def alexnet() -> Benchmark:
    """AlexNet under the laptop recipe, augmentation included."""
    return _training("cifar10", "alexnet", "the second convolution and both LRNs", plain_alexnet)


def resnet() -> Benchmark:
    """ResNet-56 under the laptop recipe, augmentation included."""
    return _training("cifar10", "resnet56", "memory: batch normalisation and rectifiers between narrow convolutions")


def _training(dataset: str, model: str, bound: str, plain_network: Callable[[], nn.Module] | None = None) -> Benchmark:
    """Training steps on made-up images of a data set's shape. plain_network: where it would be written otherwise."""
    run = profiles.run("laptop", dataset, model, alpha=0.1, seed=0)
    data, device = made_up(dataset, STEPS[model] * run.recipe.batch), precision.device()
    trainer = ImageTrainer(run, _network(run, data).to(device), data, smoothed_cross_entropy(run.alpha))
    plain = (plain_network() if plain_network else _network(run, data)).to(device)
    view = augmentation.of(run.recipe)
    batch = torch.randn(run.recipe.batch, *view.shape(data.pixels.shape[1:]), device=device)
    states = 1 if run.recipe.momentum else 0
    own = precision.Own(device, run.seed)

    def ours() -> None:
        with own():
            for step in range(STEPS[model]):
                trainer.step(step)

    return Benchmark(
        f"{MODELS[model].title}, training",
        "images",
        len(data),
        ours,
        plain_training(run, data, plain),
        bound,
        counts=count_step(plain, lambda: plain(batch).logsumexp(dim=1).mean(), states) * STEPS[model],
    )


def made_up(dataset: str, n: int) -> Images:
    """Noise in the shape of a data set."""
    source = DATASETS[dataset]
    pixels = np.random.default_rng(0).integers(0, 256, (n, *source.shape), dtype=np.uint8)
    return Images(pixels, np.arange(n) % len(source.classes), source.classes, "", "")


def _network(run: Run, data: Images) -> nn.Module:
    shape = augmentation.of(run.recipe).shape(data.pixels.shape[1:])
    return MODELS[run.model].build(shape, len(data.classes)).to(memory_format=torch.channels_last)


def plain_training(run: Run, data: Images, model: nn.Module) -> Callable[[], None]:
    """One pass as it is usually written: a DataLoader with two workers, a transform a sample, float32."""
    recipe, device = run.recipe, next(model.parameters()).device
    loader = DataLoader(
        _Samples(data, plain_transform(recipe.augmentation)),
        recipe.batch,
        shuffle=True,
        num_workers=WORKERS,
        drop_last=True,
    )
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=run.alpha)

    def work() -> None:
        for images, labels in loader:
            optimiser.zero_grad()
            loss = criterion(model(images.to(device)), labels.to(device))
            loss.backward()
            optimiser.step()

    return work


def plain_transform(name: str) -> Callable:
    """An augmentation of one image, by torchvision."""
    declare_missing()
    from torchvision import transforms

    def standardise(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean()) / x.std(correction=0).clamp(min=x.numel() ** -0.5 / 255)

    views = [transforms.RandomCrop(augmentation.CROP), transforms.RandomHorizontalFlip()] if name != "none" else []
    return transforms.Compose([*views, transforms.ToTensor(), standardise])


def plain_alexnet() -> nn.Sequential:
    """The same network in PyTorch's own layers."""

    def norm():
        return nn.LocalResponseNorm(size=9, alpha=0.001, beta=0.75, k=1)

    def pool():
        return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)

    return nn.Sequential(
        *(nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), pool(), norm()),
        *(nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), norm(), pool(), nn.Flatten()),
        *(nn.Linear(6 * 6 * 64, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, 10)),
    )


class _Samples(Dataset):
    """Images one by one, as torchvision's data sets give them."""

    def __init__(self, data: Images, transform):
        from PIL import Image

        pixels = data.pixels.transpose(0, 2, 3, 1)
        self.pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        self.labels, self.transform, self.image = data.labels, transform, Image.fromarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        return self.transform(self.image(self.pixels[i])), int(self.labels[i])


def bank() -> Benchmark:
    """An AlexNet's logits of all 162 views of images, against a pass of each view through a DataLoader."""
    run = profiles.run("laptop", "cifar10", "alexnet", alpha=0.1, seed=0)
    data, device, view = made_up("cifar10", TAUGHT), precision.device(), augmentation.of(run.recipe)
    model, plain_model = _network(run, data).to(device).eval(), plain_alexnet().to(device).eval()
    loader = DataLoader(_Samples(data, plain_transform("crop24-flip")), run.recipe.batch, num_workers=WORKERS)
    views = len(view.every(data.pixels.shape[1:], "cpu").top)
    one = torch.randn(1, *view.shape(data.pixels.shape[1:]), device=device)

    @torch.no_grad()
    def plain() -> None:  # one random view of each image
        for images, _ in loader:
            plain_model(images.to(device)).cpu()

    return Benchmark(
        "Teacher's views, AlexNet",
        "views",
        len(data) * views,
        lambda: teachers.every_view(model, run.recipe.precision, data, view, progress=False),
        plain,
        "the convolutions and the LRNs; no view is computed twice",
        plain_units=len(data),
        counts=Counts(count_flops(lambda: plain_model(one)), 0) * (len(data) * views),
    )
