"""`lsbook bench`: our way against the plain way that a careful user would write, in turn, in one process.

Each benchmark does the same work both ways. The rounds alternate, so that a machine whose speed drifts slows both;
medians are reported, and the ratio is the median of the rounds' ratios.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO

import numpy as np

from lsbook.errors import UserError, one_of

try:
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from lsbook.catalogue import MODELS
    from lsbook.data.images import Images
    from lsbook.experiments import profiles
    from lsbook.models.alexnet import AlexNet
    from lsbook.models.decoding import Search, Translation, translate
    from lsbook.models.transformer import Transformer
    from lsbook.operators import declare_missing
    from lsbook.training import environment, precision
    from lsbook.training.augmentation import AREA, ASPECT, CROP, InceptionCrop
    from lsbook.training.images import ImageTrainer
    from lsbook.training.losses import smoothed_cross_entropy
except ModuleNotFoundError as error:
    raise UserError(f'benchmarks need {error.name}: pip install -e ".[train]"') from error

ROUNDS = 5
STEPS = 40  # of training in a round
PHOTOGRAPHS = 200  # decoded in a round
PHOTOGRAPH_VIEW = 299  # side of the views of them: Inception-v4's input
SENTENCES = 1_000  # translated in a round
PLAIN_SENTENCES = 10  # the same of the plain way
VOCABULARY = 8_000  # of the translating network
WORKERS = 2  # of the plain way's DataLoader


@dataclass(frozen=True)
class Benchmark:
    """A piece of work done two ways. Each call does it once; units: how much of `unit` that is.

    plain_units: the same of the plain way, where that does less of it.
    """

    title: str
    unit: str
    units: int
    ours: Callable[[], None]
    plain: Callable[[], None]
    plain_units: int | None = None


@dataclass(frozen=True)
class Result:
    """Rates in units a second, medians over the rounds."""

    name: str
    title: str
    unit: str
    ours: float
    plain: float
    ratio: float
    rounds: int


def main(names: Sequence[str] = (), as_json: bool = False) -> None:
    """Run the benchmarks of these names, all when there are none, and print a table or JSON."""
    for name in names:
        one_of("benchmark", name, BENCHMARKS)
    results = [measure(name, BENCHMARKS[name]()) for name in names or BENCHMARKS]
    machine = environment.describe(precision.device(), "mixed") | {"peak_memory_mb": environment.peak_memory() // 10**6}
    if as_json:
        print(json.dumps({"results": [asdict(result) for result in results], "machine": machine}, indent=1))
        return
    print(f"{'':34}{'ours':>9}{'plain':>9}{'ratio':>8}")
    for r in results:
        print(f"{r.title + ', ' + r.unit + '/s':34}{r.ours:9.0f}{r.plain:9.0f}{r.ratio:8.2f}")
    print(
        f"medians of {ROUNDS} rounds in turn; {machine['device']}, {machine['threads']} threads, ours in "
        f"{machine['precision']}, plain in float32; peak memory of both {machine['peak_memory_mb']} MB"
    )


def measure(name: str, benchmark: Benchmark, rounds: int = ROUNDS) -> Result:
    """Warm both ways up, then time them in turn."""
    benchmark.ours()
    benchmark.plain()
    ours, plain = [], []
    for _ in range(rounds):
        ours.append(benchmark.units / _seconds(benchmark.ours))
        plain.append((benchmark.plain_units or benchmark.units) / _seconds(benchmark.plain))
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    medians = statistics.median(ours), statistics.median(plain)
    return Result(name, benchmark.title, benchmark.unit, *medians, ratio, rounds)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alexnet() -> Benchmark:
    """Training steps of AlexNet under the laptop recipe, augmentation included, on made-up CIFAR-10-like images."""
    run = profiles.run("laptop", "cifar10", "alexnet", alpha=0.1, seed=0)
    images = STEPS * run.recipe.batch
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    data = Images(pixels, np.arange(images) % 10, tuple("0123456789"), "", "")
    device = precision.device()
    model = AlexNet((3, CROP, CROP), 10).to(device, memory_format=torch.channels_last)
    trainer = ImageTrainer(run, model, data, smoothed_cross_entropy(run.alpha))

    def ours() -> None:
        for step in range(STEPS):
            trainer.step(step)

    return Benchmark("AlexNet training", "images", images, ours, plain_training(run.recipe, data, device))


def plain_training(recipe, data: Images, device: torch.device) -> Callable[[], None]:
    """One pass as it is usually written: a DataLoader with two workers, a transform a sample, float32."""
    declare_missing()
    from torchvision import transforms

    def standardise(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean()) / x.std(correction=0).clamp(min=x.numel() ** -0.5 / 255)

    transform = transforms.Compose(
        [transforms.RandomCrop(CROP), transforms.RandomHorizontalFlip(), transforms.ToTensor(), standardise]
    )
    loader = DataLoader(_Samples(data, transform), recipe.batch, shuffle=True, num_workers=WORKERS, drop_last=True)
    model = plain_alexnet().to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def work() -> None:
        for images, labels in loader:
            optimiser.zero_grad()
            loss = criterion(model(images.to(device)), labels.to(device))
            loss.backward()
            optimiser.step()

    return work


def plain_alexnet() -> torch.nn.Sequential:
    """The same network in PyTorch's own layers."""
    nn = torch.nn

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
    """Images one by one, as torchvision's CIFAR-10 gives them."""

    def __init__(self, data: Images, transform):
        from PIL import Image

        self.pixels, self.labels, self.transform = data.pixels.transpose(0, 2, 3, 1), data.labels, transform
        self.image = Image.fromarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        return self.transform(self.image(self.pixels[i])), int(self.labels[i])


def decoding() -> Benchmark:
    """Inception's training views of made-up JPEGs as large as ImageNet's: 500 × 375 pixels, 110 kB. One core each way.

    Ours is what each worker process of a training does; the plain way is torchvision's transforms of decoded images.
    """
    declare_missing()
    from torchvision import transforms

    encoded = [_photograph(seed) for seed in range(4)]
    crop = InceptionCrop(PHOTOGRAPH_VIEW)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(PHOTOGRAPH_VIEW, AREA, ASPECT),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )

    def ours() -> None:
        for i in range(PHOTOGRAPHS):
            crop(Image.open(BytesIO(encoded[i % len(encoded)])), i)

    def plain() -> None:
        for i in range(PHOTOGRAPHS):
            transform(Image.open(BytesIO(encoded[i % len(encoded)])).convert("RGB"))

    return Benchmark("Inception's crops, one core", "images", PHOTOGRAPHS, ours, plain)


def _photograph(seed: int) -> bytes:
    """A JPEG of smooth shapes and noise."""
    generator = np.random.default_rng(seed)
    shapes = Image.fromarray(generator.integers(0, 256, (38, 50, 3), dtype=np.uint8)).resize((500, 375))
    pixels = np.asarray(shapes) + generator.normal(0, 18, (375, 500, 3))
    buffer = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def translation() -> Benchmark:
    """Beam search of the laptop size over made-up sentences as long as Multi30k's, by 4 hypotheses each.

    The weights are random, so a bias keeps eos away until the longest output, three tokens above the source's length.
    """
    device, search = precision.device(), Search(bos=2, eos=3, extra=3)
    model = MODELS["transformer-256"].build(VOCABULARY, 0).to(device).eval()
    with torch.no_grad():
        model.output.bias[search.eos] = -20.0
    generator = np.random.default_rng(0)
    lengths = generator.normal(14, 4, SENTENCES).round().clip(5, 40).astype(int)
    sources = [generator.integers(4, VOCABULARY, length).tolist() for length in lengths]

    def ours() -> None:
        with precision.autocast(device, "mixed"):
            translate(model, sources, search)

    def plain() -> None:
        for source in sources[:PLAIN_SENTENCES]:
            plain_translate(model, source, search)

    return Benchmark("translation, beam 4", "sentences", SENTENCES, ours, plain, min(PLAIN_SENTENCES, SENTENCES))


@torch.no_grad()
def plain_translate(model: Transformer, source: Sequence[int], search: Search) -> Translation:
    """The same search for one sentence as it is usually written: each step decodes all hypotheses from their start."""
    device = model.output.weight.device
    memory, mask = model.encode(torch.tensor([list(source)], device=device))
    live, ended = [([search.bos], 0.0)], []
    for length in range(1, len(source) + search.extra + 1):
        prefixes = torch.tensor([tokens for tokens, _ in live], device=device)
        crossed = model.crossed(memory.expand(len(live), -1, -1))
        logits = model.output(model.decode(prefixes, crossed, mask)[:, -1])
        log_p = torch.log_softmax(logits / search.temperature, dim=-1)
        possible = torch.ones_like(log_p, dtype=torch.bool)
        possible[:, [model.pad, search.bos]] = False
        if length == len(source) + search.extra:
            possible[:, : search.eos] = possible[:, search.eos + 1 :] = False
        total = log_p.masked_fill(~possible, -torch.inf) + torch.tensor([p for _, p in live], device=device)[:, None]
        values, index = total.flatten().topk(min(search.beam - len(ended), int(possible.sum())))
        grown = [
            (live[i // log_p.shape[1]][0] + [i % log_p.shape[1]], value)
            for i, value in zip(index.tolist(), values.tolist(), strict=True)
        ]
        ended += [Translation(y[1:-1], p, p / search.penalty(length)) for y, p in grown if y[-1] == search.eos]
        live = [(y, p) for y, p in grown if y[-1] != search.eos]
        if not live:
            break
    return max(ended, key=lambda translation: translation.score)


BENCHMARKS: dict[str, Callable[[], Benchmark]] = {
    "alexnet": alexnet,
    "decoding": decoding,
    "translation": translation,
}
