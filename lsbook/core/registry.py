"""What there is to choose from: data sets, parallel texts, networks and losses, each by name.

A short name is an alias that stands here. In its place anybody's `package.module:Name` may stand, where Name is a
`Dataset`, a `Corpus`, a `Model` or the class of a loss. `dataset`, `corpus`, `network` and `loss` look a name up, and
they alone import what is somebody's own: a name in a record is data, which is checked (`check_name`) and not followed.
Short names are checked without torch.
"""

import json
import re
from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from lsbook.core.errors import UserError, brief, one_line, one_of, require, shortened
from lsbook.core.strict import strict

SPLITS = ("train", "heldout", "test")
IMPORTABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
LONGEST = 100  # characters of a name: a folder's name has two of them
CLASSES_BYTES = 500_000  # of the names of classes together, which a record keeps

T = TypeVar("T")
Examples = Annotated[int, Field(ge=1, le=10**9)]
Side = Annotated[int, Field(ge=1, le=1_024)]


def check_importable(name: str) -> None:
    """Raise UserError unless `name` is `package.module:Name` of a module that other processes have; import nothing."""
    if len(name) > LONGEST or not IMPORTABLE.fullmatch(name):
        raise UserError(f"a name of your own is package.module:Name, at most {LONGEST} characters, not {brief(name)}")
    _check_not_main(name, name.partition(":")[0])


def _check_not_main(name: str, module: object) -> None:
    if module in ("__main__", "__mp_main__"):
        raise UserError(
            f"{name} is defined in __main__, a notebook or a script, which no process of the pool, Ray worker or "
            "torchrun rank can import: put it into a module"
        )


def _require_lines(name: str, texts: Iterable[str]) -> None:
    """UserError unless all are short printable lines, as a record may hold them."""
    for text in texts:
        if not text or len(text) > LONGEST or text != one_line(text):
            raise UserError(f"{name}: printable lines of at most {LONGEST} characters, not {brief(text)}")


@strict
class Dataset:
    """A labelled image data set and where its images come from.

    Attributes:
        title: its name in a table.
        classes: names in label order.
        shape: (C, H, W); None when sizes differ: such images stay in their files, and each is decoded when it is seen.
        examples: how many there are for training and for testing.
        heldout: how many examples at the end of the training ones are kept for fitting temperatures and the like.
        load: `package.module:function` that takes "train" or "test" and returns pixels (N, C, H, W) uint8 and labels
            (N,); None when they lie in files.
        variant: how a record calls the copy that `load` gives.
        size: of the download, such as "170 MB", for the message that advises it.
        image_columns, label_columns: names under which the Hub's Parquet files may hold them, first match wins.
        torchvision: class in `torchvision.datasets` that reads the original files, or None when there is none.
        archives: for each file to download its folder, address and SHA-256.
        files: the data set whose files these are, when it is another one: its classes of these names are taken.
        wnids: the classes' WordNet ids, where files are in a folder for each of them.
        shown: classes whose examples a record keeps, for figures of any three of them; all when none are named.
        remark: a sentence on its files that a reader of results on the test images should know.
        unknown: other data sets whose test images a network trained on this one does not know, each with those of its
            classes that are left out because they are like ours.
        transfer: another data set, on which the features of a network trained on this one are tried.
        short: its title where there is little room.
    """

    title: str
    classes: tuple[str, ...]
    shape: tuple[Side, Side, Side] | None
    examples: tuple[Examples, Examples]
    heldout: Annotated[int, Field(ge=0)]
    load: str | None = None
    variant: str = "as loaded"
    size: str = ""
    image_columns: tuple[str, ...] = ("image", "img")
    label_columns: tuple[str, ...] = ("label", "fine_label")
    torchvision: str | None = None
    archives: tuple[tuple[str, str, str], ...] = ()
    files: str | None = None
    wnids: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    remark: str = ""
    unknown: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    transfer: str | None = None
    short: str = ""

    @model_validator(mode="after")
    def _check_consistency(self) -> "Dataset":
        different = len(set(self.classes)) == len(self.classes) > 1
        require(different, "classes: at least two, each with a name of its own")
        require(len(json.dumps(self.classes)) <= CLASSES_BYTES, "classes: too many, or names too long")
        _require_lines("classes", self.classes)
        _require_lines("title, variant", (self.title, self.variant))
        require(self.heldout < self.examples[0], f"heldout: below the {self.examples[0]} training examples")
        require(set(self.shown) <= set(self.classes), "shown: some of the classes")
        object.__setattr__(self, "shown", self.shown or self.classes)
        if self.load is not None:
            check_importable(self.load)
        object.__setattr__(self, "short", self.short or self.title)
        return self


@strict
class Corpus:
    """A parallel text and where its sentences come from.

    Attributes:
        title: its name in a table.
        languages: source and target, as file names end in them or the fields of a Parquet column are called.
        load: `package.module:function` that takes "train", "heldout" (the validation text) or "test" and returns pairs
            of sentences, source and target; None when they lie in files.
        variant: how a record calls the copy that `load` gives.
        parts: what the names of the files begin with for these splits.
        pairs: how many sentence pairs each split has, where that is known.
        size: of the download, such as "1.3 MB", for the message that advises it.
        archives: for each file to download its folder, address and SHA-256.
        translated: how many sentences of a split are translated, and scored by BLEU, at most: the first ones.
        has_gaps: whether training pairs may lack a side, as some of a text from the web do; they are left out.
        short: its title where there is little room.
    """

    title: str
    languages: tuple[str, str] = ("en", "de")
    load: str | None = None
    variant: str = "as loaded"
    parts: tuple[str, str, str] = SPLITS
    pairs: tuple[int | None, int | None, int | None] = (None, None, None)
    size: str = ""
    archives: tuple[tuple[str, str, str], ...] = ()
    translated: Examples = 1_000
    has_gaps: bool = False
    short: str = ""

    @model_validator(mode="after")
    def _check_consistency(self) -> "Corpus":
        _require_lines("title, variant", (self.title, self.variant))
        if self.load is not None:
            check_importable(self.load)
        object.__setattr__(self, "short", self.short or self.title)
        return self


@strict
class Model:
    """A network: the class that defines it (`package.module:class`), and its arguments besides those that data decide.

    Attributes:
        title: its name in a table.
        factory: a subclass of `lsbook.models.base.Classifier`.
        arguments: name -> value.
        reads: "images" or "text".
        short: its title where there is little room.
    """

    title: str
    factory: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    reads: Literal["images", "text"] = "images"
    short: str = ""

    @model_validator(mode="after")
    def _check_consistency(self) -> "Model":
        _require_lines("title", (self.title,))
        check_importable(self.factory)
        object.__setattr__(self, "short", self.short or self.title)
        return self

    def build(self, *data: Any) -> Any:
        """Make the network, freshly initialised from torch's random state.

        Args:
            data: the shape (C, H, W) of images and the number of classes; for a Transformer the vocabulary's size and
                its padding id.

        Raises:
            UserError: if the class cannot be imported.
        """
        return imported(self.factory)(*data, **self.arguments)


@strict
class LossEntry:
    """A loss: the class that defines it (`package.module:class`), and what is known of its config without torch.

    Attributes:
        title: what networks are called that are trained with it, and with alpha above 0.
        factory: the class.
        arguments: names in its config besides alpha.
        positive: whether alpha has to be above 0.
    """

    title: str
    factory: str
    arguments: tuple[str, ...] = ()
    positive: bool = False


# In label order, which is alphabetic.
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
# Of the 200 ImageNet classes in the order of their WordNet ids: animals first, then things, food and places.
_TINY_IMAGENET = """
goldfish, European fire salamander, bullfrog, tailed frog, American alligator, boa constrictor, trilobite, scorpion,
black widow, tarantula, centipede, goose, koala, jellyfish, brain coral, snail, slug, sea slug, American lobster,
spiny lobster, black stork, king penguin, albatross, dugong, Chihuahua, Yorkshire terrier, golden retriever, Labrador
retriever, German shepherd, standard poodle, tabby, Persian cat, Egyptian cat, cougar, lion, brown bear, ladybug, fly,
bee, grasshopper, walking stick, cockroach, mantis, dragonfly, monarch, sulphur butterfly, sea cucumber, guinea pig,
hog, ox, bison, bighorn, gazelle, Arabian camel, orangutan, chimpanzee, baboon, African elephant, lesser panda,
abacus, academic gown, altar, apron, backpack, bannister, barbershop, barn, barrel, basketball, bathtub, beach wagon,
beacon, beaker, beer bottle, bikini, binoculars, birdhouse, bow tie, brass, broom, bucket, bullet train, butcher shop,
candle, cannon, cardigan, cash machine, CD player, chain, chest, Christmas stocking, cliff dwelling, computer
keyboard, confectionery, convertible, crane, dam, desk, dining table, drumstick, dumbbell, flagpole, fountain, freight
car, frying pan, fur coat, gasmask, go-kart, gondola, hourglass, iPod, jinrikisha, kimono, lampshade, lawn mower,
lifeboat, limousine, magnetic compass, maypole, military uniform, miniskirt, moving van, nail, neck brace, obelisk,
oboe, organ, parking meter, pay-phone, picket fence, pill bottle, plunger, pole, police van, poncho, pop bottle,
potter's wheel, projectile, punching bag, reel, refrigerator, remote control, rocking chair, rugby ball, sandal,
school bus, scoreboard, sewing machine, snorkel, sock, sombrero, space heater, spider web, sports car, steel arch
bridge, stopwatch, sunglasses, suspension bridge, swimming trunks, syringe, teapot, teddy, thatch, torch, tractor,
triumphal arch, trolleybus, turnstile, umbrella, vestment, viaduct, volleyball, water jug, water tower, wok, wooden
spoon, comic book, plate, guacamole, ice cream, ice lolly, pretzel, mashed potato, cauliflower, bell pepper, mushroom,
orange, lemon, banana, pomegranate, meat loaf, pizza, potpie, espresso, alp, cliff, coral reef, lakeside, seashore,
acorn
"""
# First three that are nothing like each other, then look-alikes.
_TINY_IMAGENET_SHOWN = (
    *("goldfish", "tabby", "monarch", "golden retriever", "Labrador retriever"),
    *("Yorkshire terrier", "standard poodle", "Egyptian cat", "bullfrog", "tailed frog"),
)
# What a class of CIFAR-10 could be a name of, taken widely: automobiles and trucks (buses and karts too), birds, cats
# (big ones too), dogs, frogs, ships and what is like a deer; no aircraft and no horse is among them.
_LIKE_CIFAR10 = """
beach wagon, convertible, limousine, sports car, moving van, police van, school bus, trolleybus, go-kart, tractor,
goose, black stork, king penguin, albatross, tabby, Persian cat, Egyptian cat, cougar, lion, Chihuahua, Yorkshire
terrier, golden retriever, Labrador retriever, German shepherd, standard poodle, bullfrog, tailed frog, lifeboat,
gondola, gazelle
"""
# WordNet id and name of each class, in label order, which is that of the ids.
_IMAGENET = dict(line.split(" ", 1) for line in Path(__file__).with_name("imagenet.txt").read_text().splitlines())
_MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"


def _names(text: str) -> tuple[str, ...]:
    """Names between commas, whatever the lines."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def _tiny_imagenet(n: int) -> tuple[str, ...]:
    return _names(_TINY_IMAGENET)[:n]


DATASETS = {
    "cifar10": Dataset(
        title="CIFAR-10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape=(3, 32, 32),
        examples=(50_000, 10_000),
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
        unknown={"tiny-imagenet-32": _names(_LIKE_CIFAR10), "mnist": ()},
        transfer="tiny-imagenet-50",
    ),
    "mnist": Dataset(
        title="MNIST",
        classes=tuple("0123456789"),
        shape=(1, 28, 28),
        examples=(60_000, 10_000),
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
    "cifar100": Dataset(
        title="CIFAR-100",
        classes=tuple(_CIFAR100.split()),
        shape=(3, 32, 32),
        examples=(50_000, 10_000),
        heldout=10_000,
        size="169 MB",
        torchvision="CIFAR100",
        archives=(
            (
                "",
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
        shown=("beaver", "dolphin", "otter", "seal", "whale"),
    ),
    "tiny-imagenet-32": Dataset(
        title="Tiny ImageNet at 32 × 32",
        short="Tiny ImageNet, 200 classes",
        classes=_tiny_imagenet(200),
        shape=(3, 32, 32),
        examples=(100_000, 10_000),
        heldout=10_000,
        shown=_TINY_IMAGENET_SHOWN,
        transfer="cifar10",
        remark="Its test images, the validation images of Tiny ImageNet, were scaled down differently in the published "
        "copy: neighbouring pixels differ by 19 of 255 steps on average, those of the other images by 14.",
    ),
    # Half of the images of fifty classes: the role of CIFAR-100 (many classes, little data of each) at a small cost.
    "tiny-imagenet-50": Dataset(
        title="Tiny ImageNet at 32 × 32, 50 classes",
        short="Tiny ImageNet",
        classes=_tiny_imagenet(50),
        shape=(3, 32, 32),
        examples=(25_000, 2_500),
        heldout=10_000,
        files="tiny-imagenet-32",
        shown=_TINY_IMAGENET_SHOWN,
        unknown={"tiny-imagenet-32": _tiny_imagenet(50)},
        transfer="cifar10",
    ),
    # Of ImageNet's kind at a small cost: two breeds that look alike, two others, and something quite different.
    "tiny-imagenet-5": Dataset(
        title="Tiny ImageNet at 32 × 32, 5 classes",
        short="Tiny ImageNet, 5 classes",
        classes=("goldfish", "Yorkshire terrier", "golden retriever", "Labrador retriever", "standard poodle"),
        shape=(3, 32, 32),
        examples=(2_500, 250),
        heldout=250,
        files="tiny-imagenet-32",
    ),
    "imagenet": Dataset(
        title="ImageNet",
        classes=tuple(_IMAGENET.values()),
        shape=None,
        examples=(1_281_167, 50_000),
        heldout=10_000,
        wnids=tuple(_IMAGENET),
        shown=("tench", "meerkat", "cleaver", "toy poodle", "miniature poodle", "golden retriever"),
    ),
    "digits": Dataset(
        title="digits (scikit-learn)",
        short="digits",
        classes=tuple("0123456789"),
        shape=(1, 32, 32),
        examples=(1_497, 300),
        heldout=300,
        load="lsbook.data.digits:load",
        variant="embedded",
    ),
}

CORPORA = {
    "multi30k": Corpus(
        title="Multi30k, English to German",
        short="Multi30k",
        parts=("train", "val", "test_2016_flickr"),
        pairs=(29_000, 1_014, 1_000),
        size="1.3 MB",
        archives=tuple(
            ("multi30k", _MULTI30K + name, checksum)
            for name, checksum in {
                "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
                "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
                "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
                "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
                "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
                "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
            }.items()
        ),
    ),
    "grammar": Corpus(
        title="English–German grammar of our own",
        short="grammar",
        load="lsbook.data.embedded:pairs",
        variant="embedded",
        translated=100,  # where seconds count
    ),
    "wmt14-en-de": Corpus(
        title="WMT14, English to German",
        short="WMT14",
        parts=("train", "validation", "test"),
        pairs=(None, 3_000, 3_003),  # copies of the training text differ in how it was cleaned
        translated=3_003,  # all of newstest2014
        has_gaps=True,
    ),
}

MODELS = {
    "mlp": Model(title="MLP 2 × 1200", short="MLP", factory="lsbook.models.mlp:MLP", arguments={"hidden": 1200}),
    "mlp-dropout": Model(
        title="MLP 2 × 1200 with dropout",
        short="MLP",
        factory="lsbook.models.mlp:MLP",
        arguments={"hidden": 1200, "dropout": 0.5},
    ),
    "mlp-800": Model(title="MLP 2 × 800", factory="lsbook.models.mlp:MLP", arguments={"hidden": 800}),
    "alexnet": Model(title="AlexNet", factory="lsbook.models.alexnet:AlexNet"),
    "resnet56": Model(title="ResNet-56", factory="lsbook.models.resnet:ResNet", arguments={"depth": 56}),
    "resnet56-first7": Model(
        title="ResNet-56, first convolution 7 × 7",
        short="ResNet-56",
        factory="lsbook.models.resnet:ResNet",
        arguments={"depth": 56, "first_kernel": 7},
    ),
    "resnet8": Model(title="ResNet-8", factory="lsbook.models.resnet:ResNet", arguments={"depth": 8}),
    "inception_v4": Model(title="Inception-v4", factory="lsbook.models.inception:InceptionV4"),
    "alexnet-16": Model(title="narrow AlexNet", factory="lsbook.models.alexnet:AlexNet", arguments={"width": 16}),
    "transformer-base": Model(
        title="Transformer, base size",
        short="Transformer",
        factory="lsbook.models.transformer:Transformer",
        reads="text",
    ),
    "transformer-256": Model(
        title="Transformer, 3 + 3 layers of width 256",
        short="Transformer",
        factory="lsbook.models.transformer:Transformer",
        arguments={"layers": 3, "width": 256, "heads": 4, "hidden": 512, "dropout": 0.2},
        reads="text",
    ),
    "transformer-64": Model(
        title="Transformer, 2 + 2 layers of width 64",
        short="Transformer",
        factory="lsbook.models.transformer:Transformer",
        arguments={"layers": 2, "width": 64, "heads": 4, "hidden": 256, "dropout": 0.1},
        reads="text",
    ),
}

LOSSES = {
    "cross-entropy": LossEntry(title="smoothed", factory="lsbook.training.losses:SmoothedCrossEntropy"),
    "maxsup": LossEntry(title="MaxSup", factory="lsbook.training.losses:MaxSup", positive=True),
}

TITLES = {name: source.title for name, source in (DATASETS | CORPORA).items()}


def dataset(name: str) -> Dataset:
    """Return the data set of a name. UserError when there is none, or it cannot be imported."""
    return _find("data set", name, DATASETS, Dataset)


def corpus(name: str) -> Corpus:
    """Return the text of a name. UserError when there is none, or it cannot be imported."""
    return _find("text", name, CORPORA, Corpus)


def source(name: str) -> Dataset | Corpus:
    """Return the data set or text of a name. UserError when there is none, or it cannot be imported."""
    return _find("data set", name, DATASETS | CORPORA, (Dataset, Corpus))


def network(name: str) -> Model:
    """Return the network of a name. UserError when there is none, or it cannot be imported."""
    return _find("model", name, MODELS, Model)


def loss(name: str) -> type:
    """Return the class of the loss of a name. UserError when there is none, or it cannot be imported."""
    found = imported(LOSSES[name].factory) if name in LOSSES else _imported_of("loss", name, LOSSES)
    if not isinstance(found, type) or not any("__call__" in vars(base) for base in found.__mro__):
        raise UserError(f"{name} is no class of losses, whose objects take logits and a batch")
    return found


def _find(what: str, name: str, entries: dict[str, T], kinds: type[T] | tuple[type[T], ...]) -> T:
    if name in entries:
        return entries[name]
    found = _imported_of(what, name, entries)
    if not isinstance(found, kinds):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        is_a = "the class" if isinstance(found, type) else f"of type {type(found).__name__}"
        raise UserError(f"{name} has to be a {wanted} (lsbook.core.registry), but it is {is_a}")
    return found


def _imported_of(what: str, name: str, entries: Collection[str]) -> object:
    check_name(what, name, entries)
    return imported(name)


def check_name(what: str, name: str, entries: Collection[str]) -> None:
    """Raise UserError unless a name is one of `entries` or a `package.module:Name`; `what` names its kind."""
    if is_own(name):
        check_importable(name)
    else:
        one_of(what, name, entries)


def imported(name: str) -> Any:
    """Import what `package.module:Name` names. UserError when it cannot be imported, or not by other processes."""
    check_importable(name)
    module, _, attribute = name.partition(":")
    try:
        loaded = import_module(module)
    except Exception as error:  # of all that may go wrong in somebody's module
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        advice = f"install {module}, or add its folder to PYTHONPATH"
        raise UserError(f"{name} cannot be imported ({reason}): {advice}") from error
    try:
        found = getattr(loaded, attribute)  # once: a module may make it when it is asked for
    except AttributeError:
        raise UserError(f"{name} cannot be imported: the module {module} has no {attribute}") from None
    _check_not_main(name, getattr(found, "__module__", None))
    return found


def short_title(name: str) -> str:
    """Return what a data set, text or network is called where there is little room."""
    entry = MODELS.get(name) or DATASETS.get(name) or CORPORA.get(name)
    return entry.short if entry else name


def is_own(name: str) -> bool:
    """Whether a name is a `package.module:Name` and no short one."""
    return ":" in name


def title(name: str) -> str:
    """Return what a data set, text or network is called; one of somebody's own by its name, without an import."""
    entry = MODELS.get(name)
    return entry.title if entry else TITLES.get(name, name)


def loss_title(name: str) -> str:
    """Return what networks trained with a loss are called: with one of somebody's own, by the name of its class."""
    entry = LOSSES.get(name)
    return entry.title if entry else name.rpartition(":")[2]


def folder(name: str) -> str:
    """Return a name as a part of a folder's name, on every system: `my-data-shapes` for my.data:Shapes."""
    return re.sub(r"[.:]", "-", name).lower() if is_own(name) else name


def data_folder(name: str) -> str:
    """Return where the files of a data set or text lie below the folder of data: `shapes` for my.data:shapes."""
    return name.rpartition(":")[2]


def identifier(name: str) -> str:
    """Return a data set's name as names of metrics have it: tiny_imagenet_50 for tiny-imagenet-50."""
    return re.sub(r"\W|_", "_", name.lower())[-40:].strip("_")


def network_title(dataset: str, *models: str) -> str:
    """Return a title such as "AlexNet, CIFAR-10", or of a teacher and its student "ResNet-56 → AlexNet, CIFAR-10"."""
    return f"{' → '.join(map(title, models))}, {title(dataset)}"
