"""The three profiles: how a data set and a network are trained in each.

smoke: embedded data, seconds. laptop: real data, at most 10 000 images or a small text, and many epochs, so that
networks become overconfident as large ones do. paper: the paper's protocol.
"""

import dataclasses
from collections.abc import Mapping

from lsbook.core import registry
from lsbook.core.config import Recipe, Run, SettingText, from_text, with_settings
from lsbook.core.errors import UserError, one_of, shortened

PROFILES = ("smoke", "laptop", "paper")  # from the cheapest to the best evidence
SEEDS = {"smoke": "0-2", "laptop": "0-4", "paper": "0-4"}

# 64 000 steps with Nesterov's momentum, cross-entropy × 3, as the replication reports the paper's settings.
_RESNET = Recipe(
    steps=64_000,
    learning_rate=0.1,
    momentum=0.9,
    schedule="steps",
    milestones=(1 / 2, 3 / 4),
    weight_decay=1e-4,
    clip_norm=1.0,
    loss_scale=3.0,
    augmentation="crop24-flip",
)

_PADDED_RESNET = dataclasses.replace(_RESNET, augmentation="pad4-flip")

# 30 and 20 epochs of 10 000 images: long enough to be overconfident, short enough for two cores.
_SHORT_RESNET = Recipe(
    steps=2_340,
    learning_rate=0.1,
    momentum=0.9,
    schedule="one-cycle",
    weight_decay=1e-4,
    augmentation="crop24-flip",
)

# 100 epochs. The paper does not say how it trained this network; this is the usual way with SGD.
_INCEPTION = Recipe(
    steps=124_100,
    batch=1_024,
    learning_rate=0.4,
    momentum=0.9,
    schedule="one-cycle",
    weight_decay=4e-5,
    augmentation="inception",
    size=299,
)

# Of small images, scaled to the smallest input that the network takes. On held-out images, after 250 steps of 32, Adam
# was ahead of SGD at rates from 0.005 to 0.02, and windows within the image were ahead of windows beyond its border:
# black edges change the mean and deviation by which an image is standardised, so the whole image, without them, is new.
_SMALL_INCEPTION = dataclasses.replace(
    _INCEPTION, optimiser="adam", learning_rate=1e-3, weight_decay=1e-4, augmentation="crop24-flip", size=75
)

# Vaswani et al. (2017, section 5.3): 100 000 steps of about 25 000 tokens on each side, rate 512^-0.5 · 4 000^-0.5.
_BASE_TRANSFORMER = Recipe(
    steps=100_000,
    batch=50_000,
    optimiser="adam",
    learning_rate=7e-4,
    momentum=0.9,
    schedule="inverse-root",
    warm_up=4_000,
)

# Tokens of both languages of a text together.
VOCABULARIES = {"grammar": 900, "multi30k": 8_000, "wmt14-en-de": 32_000}

# (profile, data set, model): number of training images or sentence pairs, and recipe.
RECIPES: dict[tuple[str, str, str], tuple[int, Recipe]] = {
    ("smoke", "digits", "alexnet-16"): (
        1_197,
        Recipe(steps=150, batch=64, learning_rate=0.02, momentum=0.9, schedule="one-cycle", augmentation="crop24-flip"),
    ),
    ("smoke", "mnist", "mlp"): (
        1_000,
        Recipe(steps=100, learning_rate=0.05, momentum=0.9, schedule="one-cycle"),
    ),
    ("laptop", "cifar10", "alexnet"): (
        10_000,
        Recipe(steps=6_240, learning_rate=0.02, momentum=0.9, schedule="one-cycle", augmentation="crop24-flip"),
    ),
    ("laptop", "cifar10", "resnet56"): (10_000, _SHORT_RESNET),
    ("laptop", "tiny-imagenet-50", "resnet56"): (
        10_000,
        dataclasses.replace(_SHORT_RESNET, steps=1_560, augmentation="pad4-flip"),
    ),
    # 80 epochs of 450 images a class.
    ("laptop", "tiny-imagenet-5", "inception_v4"): (
        2_250,
        dataclasses.replace(_SMALL_INCEPTION, steps=5_600, batch=32),
    ),
    ("laptop", "mnist", "mlp"): (
        10_000,
        Recipe(steps=3_120, learning_rate=0.05, momentum=0.9, schedule="one-cycle"),
    ),
    # 390 000 steps of plain SGD, cross-entropy × 3, from the tutorial's initial weights: from scaled ones it diverges
    # within 10 steps. The decay is the tutorial's 0.004, which the recorded evidence has to confirm on held-out data
    # against the report's 0.04.
    ("paper", "cifar10", "alexnet"): (
        40_000,
        Recipe(
            steps=390_000,
            learning_rate=0.1,
            schedule="steps",
            milestones=(1 / 3, 2 / 3),
            weight_decay=0.004,
            decayed="hidden-linear",
            loss_scale=3.0,
            augmentation="crop24-flip",
            initial="small",
        ),
    ),
    ("paper", "cifar10", "resnet56"): (40_000, _RESNET),
    ("paper", "cifar100", "resnet56-first7"): (40_000, _PADDED_RESNET),
    # In the role of the paper's CIFAR-100 and, scaled up, of its ImageNet: 40 epochs.
    ("paper", "tiny-imagenet-32", "resnet56"): (90_000, _PADDED_RESNET),
    ("paper", "tiny-imagenet-32", "inception_v4"): (
        90_000,
        dataclasses.replace(_SMALL_INCEPTION, steps=14_040, batch=256),
    ),
    ("paper", "imagenet", "inception_v4"): (1_271_167, _INCEPTION),
    ("smoke", "grammar", "transformer-64"): (
        3_000,
        Recipe(steps=200, batch=1_000, optimiser="adam", learning_rate=5e-3, momentum=0.9, schedule="one-cycle"),
    ),
    # 28 epochs: a step has about 1 900 target tokens.
    ("laptop", "multi30k", "transformer-256"): (
        29_000,
        Recipe(steps=7_000, batch=4_096, optimiser="adam", learning_rate=1e-3, momentum=0.9, schedule="one-cycle"),
    ),
    # The published recipe with as many epochs as a small text bears, about 80.
    ("paper", "multi30k", "transformer-base"): (
        29_000,
        dataclasses.replace(_BASE_TRANSFORMER, steps=10_000, batch=8_192),
    ),
    # As many as Vaswani et al. name (section 5.1); the Hub has 4 508 785, and those that lack a side are left out.
    ("paper", "wmt14-en-de", "transformer-base"): (4_500_000, dataclasses.replace(_BASE_TRANSFORMER, averaged=5)),
}


# Of somebody's own images: see `recipe_for_own_images`.
OWN_LIKE = "laptop", "cifar10"
OWN_STEPS, OWN_FEW = 120, 4_000
OWN_CROPPED = 32  # pixels: of larger images a crop of 24 × 24 leaves less than three quarters of a side

# What takes little of so long trainings is measured along them, so that one serves every chapter.
PROBED = {("paper", "cifar10", "alexnet"), ("paper", "cifar10", "resnet56")}


def run(
    profile: str,
    dataset: str,
    model: str,
    alpha: float,
    seed: int,
    length: tuple[int, int] | None = None,
    settings: dict[str, str] | None = None,
) -> Run:
    """Return the run of a profile.

    Args:
        profile: one of PROFILES.
        dataset: name of the data set or text in the registry.
        model: name of the network in the registry.
        alpha: smoothing factor α in [0, 1).
        seed: of initial weights, batches and augmentation.
        length: of images, the number of training ones and of epochs, if not the recipe's own.
        settings: fields of the recipe that are to be others, as text.

    Raises:
        UserError: if the profile has no recipe for the pair, listing those it has, or a setting is not allowed.
    """
    one_of("profile", profile, PROFILES)
    if (profile, dataset, model) not in RECIPES:
        raise UserError(_no_recipe(profile, dataset, model))
    of_recipe, recipe = RECIPES[profile, dataset, model]
    if length:
        of_recipe, epochs = length
        recipe = dataclasses.replace(recipe, steps=epochs * (of_recipe // recipe.batch))
    recipe = with_settings(recipe, settings or {})
    vocabulary = VOCABULARIES.get(dataset)
    return Run(
        dataset=dataset,
        model=model,
        alpha=alpha,
        seed=seed,
        recipe=recipe,
        examples=of_recipe,
        vocabulary=vocabulary,
        probe="logit-differences" if (profile, dataset, model) in PROBED else "none",
    )


def recipe_for_own_images(model: str, examples: int, size: int) -> Recipe:
    """Return the recipe for somebody's own small images: the laptop's for CIFAR-10, at another length.

    It goes through them 25 times, and for OWN_STEPS steps at the least; where there are fewer than OWN_FEW, in batches
    half as large, or of all images, with a learning rate smaller by the same factor. Images of more than OWN_CROPPED
    pixels a side are shifted and not cropped, so that the network sees all of them.

    Args:
        model: name of a network that the laptop trains on CIFAR-10.
        examples: the number of training images.
        size: side of the images in pixels.

    Raises:
        UserError: for another network.
    """
    known = {name: recipe for (profile, data, name), (_, recipe) in RECIPES.items() if (profile, data) == OWN_LIKE}
    one_of("network", model, known)
    recipe = known[model]
    batch = recipe.batch if examples >= OWN_FEW else min(recipe.batch // 2, examples)
    steps = max(OWN_STEPS, 25 * examples // batch)
    return dataclasses.replace(
        recipe,
        batch=batch,
        steps=steps,
        learning_rate=recipe.learning_rate * batch / recipe.batch,
        augmentation=recipe.augmentation if size <= OWN_CROPPED else "pad4-flip",
    )


def run_from_text(profile: str, settings: Mapping[str, SettingText]) -> Run:
    """Return the run that fields of `Run` and `Recipe`, as text, describe; what they leave open is the profile's.

    Args:
        profile: one of PROFILES.
        settings: name of a field -> text; data set, model and alpha among them, and where the profile has no recipe for
            the two, also the recipe's steps and the number of examples.

    Raises:
        UserError: for what is missing, unknown or not allowed.
    """
    one_of("profile", profile, PROFILES)
    dataset, model = str(settings["dataset"]), str(settings["model"])
    registry.check_name("data set", dataset, [*registry.DATASETS, *registry.CORPORA])
    registry.check_name("model", model, registry.MODELS)
    names = {field.name for field in dataclasses.fields(Run)}
    of_run = from_text({name: text for name, text in settings.items() if name in names})
    of_recipe = {name: text for name, text in settings.items() if name not in names}
    if (profile, dataset, model) in RECIPES:
        base = run(profile, dataset, model, alpha=0.0, seed=0)
        return dataclasses.replace(base, **of_run | {"recipe": with_settings(base.recipe, of_recipe)})
    if not {"steps", "examples"} <= settings.keys():
        raise UserError(f"{_no_recipe(profile, dataset, model)}; for another pair say --steps and --examples at least")
    recipe = Recipe(**from_text(of_recipe))
    return Run(**{"seed": 0, "vocabulary": VOCABULARIES.get(dataset)} | of_run | {"recipe": recipe})


def _no_recipe(profile: str, dataset: str, model: str) -> str:
    pairs = [f"{d} {m}" for p, d, m in RECIPES if p == profile]
    return f"profile {profile} has no recipe for {shortened(f'{dataset} {model}', 80)}; it has {', '.join(pairs)}"
