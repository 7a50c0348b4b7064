"""Training on images, and a teacher's logits for all views of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.limits import Counts, count_flops, count_step
from benchmarks.timing import Benchmark
from lsbook.chapters.distillation import mnist
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.torchvision_operators import declare_missing
from lsbook.data.images import Images
from lsbook.models.base import build
from lsbook.recipes import profiles
from lsbook.training.engine import devices
from lsbook.training.images import augmentation, teachers
from lsbook.training.images.task import ImageTrainer
from lsbook.training.losses import SmoothedCrossEntropy

STEPS = {"mlp": 40, "alexnet": 20, "resnet56": 3, "inception_v4": 1}  # of training in a round
# So many times as much of ours and of the plain way, which is slower: no turn is then too short to be timed.
MORE = {"cpu": (3, 1), "cuda": (100, 10)}
TEACHER_IMAGES = 40  # images all of whose views a teacher sees in a round
VIEWS = 2_560  # of other images that it sees in the plain way's
WORKERS = 2  # of the plain way's DataLoader


def mlp() -> Benchmark:
    """The smoothed MNIST teacher of the distillation chapter."""
    bound = "the three products of each layer, two thirds of the time near the matrix rate; then moving the weights"
    return _training(mnist.runs("laptop", 0)["teacher", "smoothed"], bound)


def alexnet() -> Benchmark:
    """AlexNet under the laptop recipe, augmentation included."""
    bound = "the convolutions, half of the time at the matrix rate; then pooling and both LRNs"
    return _training(_reduced("cifar10", "alexnet"), bound, plain_alexnet)


def resnet() -> Benchmark:
    """ResNet-56 under the laptop recipe, augmentation included."""
    bound = "narrow convolutions, two thirds of the time; then batch normalisation and rectifiers, memory traffic"
    return _training(_reduced("cifar10", "resnet56"), bound)


def inception() -> Benchmark:
    """Inception-v4 under the laptop recipe, 75 × 75; a single round, without a warm-up."""
    bound = "the products of 149 convolutions, and the memory traffic of batch normalisation between them"
    return _training(_reduced("tiny-imagenet-5", "inception_v4"), bound, rounds=1)


def _reduced(dataset: str, model: str) -> Run:
    return profiles.run("laptop", dataset, model, alpha=0.1, seed=0)


def _training(
    run: Run, bound: str, plain_network: Callable[[], nn.Module] | None = None, rounds: int | None = None
) -> Benchmark:
    """Training steps on made-up images of its data's shape. plain_network: where it would be written otherwise."""
    device = devices.device()
    steps, plain_steps = (STEPS[run.model] * more for more in MORE[device.type])
    data = made_up(run.dataset, plain_steps * run.recipe.batch)
    trainer = ImageTrainer(run, _network(run, data).to(device), data, SmoothedCrossEntropy(alpha=run.alpha))
    plain = (plain_network() if plain_network else _network(run, data)).to(device)

    def ours() -> None:
        with devices.isolated_rng(device, run.seed):
            for step in range(steps):
                trainer.step(step % run.recipe.steps)

    return Benchmark(
        f"{registry.title(run.model)}, training",
        "images",
        steps * run.recipe.batch,
        ours,
        plain_training(run, data, plain),
        bound,
        plain_units=len(data),
        counts=_counts(run, data, plain) * steps,
        rounds=rounds,
    )


def _counts(run: Run, data: Images, model: nn.Module) -> Counts:
    """Count a training step's operations and memory traffic, in the precision of the recipe."""
    device = devices.device()
    batch = torch.randn(
        run.recipe.batch, *augmentation.from_recipe(run.recipe).shape(data.pixels.shape[1:]), device=device
    )

    def loss() -> torch.Tensor:
        with devices.autocast(device, run.recipe.precision):
            logits = model(batch)
        return logits.float().logsumexp(dim=1).mean()

    return count_step(model, loss, states=run.recipe.states)


def made_up(dataset: str, n: int) -> Images:
    """Noise in the shape of a data set."""
    source = registry.dataset(dataset)
    pixels = np.random.default_rng(0).integers(0, 256, (n, *source.shape), dtype=np.uint8)
    return Images(pixels, np.arange(n) % len(source.classes), source.classes, "", "")


def _network(run: Run, data: Images) -> nn.Module:
    shape = augmentation.from_recipe(run.recipe).shape(data.pixels.shape[1:])
    return build(run.model, shape, len(data.classes)).to(memory_format=torch.channels_last)


def plain_training(run: Run, data: Images, model: nn.Module) -> Callable[[], None]:
    """One pass as it is usually written: a DataLoader with two workers, a transform a sample, float32."""
    recipe, device = run.recipe, next(model.parameters()).device
    loader = DataLoader(
        _Samples(data, plain_transform(augmentation.from_recipe(recipe), data.pixels.shape[-1])),
        recipe.batch,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        drop_last=True,
    )
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adam":
        betas = recipe.momentum, recipe.second_momentum
        optimiser = torch.optim.AdamW(model.parameters(), rate, betas, weight_decay=decay)
    else:
        optimiser = torch.optim.SGD(model.parameters(), rate, recipe.momentum, weight_decay=decay, nesterov=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=run.alpha)

    def work() -> None:
        for images, labels in loader:
            optimiser.zero_grad()
            loss = criterion(model(images.to(device)), labels.to(device))
            loss.backward()
            optimiser.step()

    return work


def plain_transform(view: augmentation.Augmentation, side: int) -> Callable:
    """An augmentation of one image of so many pixels a side, by torchvision."""
    declare_missing()
    from torchvision import transforms

    def standardise(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean()) / x.std(correction=0).clamp(min=x.numel() ** -0.5 / 255)

    crops = [transforms.RandomCrop(view.size or side, padding=view.pad)] if view.size or view.pad else []
    mirrors = [transforms.RandomHorizontalFlip()] if view.mirror else []
    scales = [transforms.Resize(view.scaled)] if view.scaled else []
    standardised = [standardise] if view.pixels == "standardised" else []
    return transforms.Compose([*crops, *mirrors, *scales, transforms.ToTensor(), *standardised])


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


def teacher_logits() -> Benchmark:
    """An AlexNet's logits of all 162 views of images, against a pass of each view through a DataLoader."""
    run = _reduced("cifar10", "alexnet")
    data, plain_data = made_up("cifar10", TEACHER_IMAGES), made_up("cifar10", VIEWS)
    device, view = devices.device(), augmentation.from_recipe(run.recipe)
    model, plain_model = _network(run, data).to(device).eval(), plain_alexnet().to(device).eval()
    samples = _Samples(plain_data, plain_transform(view, data.pixels.shape[-1]))
    loader = DataLoader(samples, run.recipe.batch, num_workers=WORKERS, persistent_workers=True)
    views = len(view.all_views(data.pixels.shape[1:], "cpu").top)
    one = torch.randn(1, *view.shape(data.pixels.shape[1:]), device=device)

    def ours() -> None:
        logits = np.full((len(data), views, len(data.classes)), np.nan, np.float16)
        teachers.compute_view_logits(model, run.recipe.precision, data, view, logits, progress=False)

    @torch.no_grad()
    def plain() -> None:  # one random view of each image
        for images, _ in loader:
            plain_model(images.to(device)).cpu()

    return Benchmark(
        "Teacher's views, AlexNet",
        "views",
        len(data) * views,
        ours,
        plain,
        "the convolutions and the LRNs; no view is computed twice",
        plain_units=len(plain_data),
        counts=Counts(count_flops(lambda: plain_model(one)), 0) * (len(data) * views),
    )
