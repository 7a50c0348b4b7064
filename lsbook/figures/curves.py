"""Curves: a quantity against another one, along a training, or against the temperature; bands are ranges over seeds."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsbook.analysis.targets import cross_entropy, optimal_logit_gap, smallest_loss, smooth_targets
from lsbook.figures.intervals import draw_lengths
from lsbook.figures.style import COLOURS, CORRECTED, FACTOR_COLOURS, NEUTRAL, SMOOTHED, WIDE, grid_for, panel_grid


def draw_loss_against_gap(axes: Axes, n_classes: int, alphas: Sequence[float]) -> Axes:
    """Draw one example's loss against the gap of its true logit to each other one, with the minimum of each curve."""
    gaps = np.linspace(0, 14, 281)
    logits = np.zeros((len(gaps), n_classes))
    logits[:, 0] = gaps
    for alpha, colour in zip(alphas, FACTOR_COLOURS, strict=True):
        targets = np.repeat(smooth_targets(np.array([0]), n_classes, alpha), len(gaps), axis=0)
        name = f"α = {alpha:g}" if alpha else "hard"
        axes.plot(gaps, cross_entropy(logits, targets), color=colour, label=name)
        if alpha:
            axes.plot(optimal_logit_gap(n_classes, alpha), smallest_loss(n_classes, alpha), "o", color=colour)
    axes.set_xlabel("true logit − each other logit (nats)")
    axes.set_ylabel("loss (nats)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


def draw_gap_against_alpha(
    axes: Axes, class_counts: Sequence[int], checked: Sequence[tuple[int, float, float]] = ()
) -> Axes:
    """Draw the optimal logit gap against α for some numbers of classes; checked: (K, α, gap found by optimisation)."""
    alphas = np.geomspace(1e-3, 0.9, 200)
    for n_classes, style in zip(class_counts, itertools.cycle(("-", "--", ":", "-.")), strict=False):
        gaps = [optimal_logit_gap(n_classes, alpha) for alpha in alphas]
        axes.plot(alphas, gaps, style, color=NEUTRAL, label=f"{n_classes} classes")
    for _, alpha, gap in checked:
        axes.plot(alpha, gap, "o", color=SMOOTHED)
    axes.set_xscale("log")
    axes.set_xlabel("smoothing factor α")
    axes.set_ylabel("optimal logit gap (nats)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


def smoothing_figure(
    n_classes: int, alphas: Sequence[float], checked: Sequence[tuple[int, float, float]], width: float = WIDE
) -> Figure:
    """Draw the loss against the gap beside the optimal gap against α."""
    rows, columns = grid_for(2, width, 3)
    figure = Figure(figsize=(width, 3.1 * rows), layout="constrained")
    left, right = figure.subplots(rows, columns, squeeze=False).flat
    draw_loss_against_gap(left, n_classes, alphas)
    draw_gap_against_alpha(right, sorted({k for k, _, _ in checked}), checked)
    return figure


def draw_along_training(axes: Axes, training) -> Axes:
    """ECE along one training: mean over the seeds, and a band from the lowest to the highest.

    training: title, epochs (P,), and arms with name, colour and values (S, P).
    """
    for name, colour, values in training.arms:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.plot(training.epochs, values.mean(axis=0), color=COLOURS[colour], label=name)
        axes.fill_between(training.epochs, low, high, color=COLOURS[colour], alpha=0.25, lw=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epochs done of the full training")
    axes.set_ylabel("ECE on held-out images")
    axes.legend()
    return axes


def length_figure(trainings: Sequence, along, width: float = WIDE) -> Figure:
    """Trainings of several lengths, beside the way of one; without other lengths the latter alone."""
    rows, columns = grid_for(2 if trainings else 1, width, 3)
    figure = Figure(figsize=(width, 3.2 * rows), layout="constrained")
    *left, right = figure.subplots(rows, columns, squeeze=False).flat
    for axes in left:
        draw_lengths(axes, trainings)
    draw_along_training(right, along)
    return figure


def draw_likelihood(axes: Axes, curves: Sequence) -> Axes:
    """Draw test NLL against the temperature, with a dot at the temperature fitted on held-out data.

    curves: title, colour, temperatures (T,), nll (T,), fitted, best.
    """
    for curve in curves:
        axes.plot(curve.temperatures, curve.nll, color=COLOURS[curve.colour], label=curve.title)
        axes.plot(curve.fitted, curve.best, "o", color=COLOURS[curve.colour])
    axes.axvline(1, color=NEUTRAL, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_xlabel("temperature T")
    axes.legend()
    return axes


def likelihood_figure(networks: Sequence[tuple[str, Sequence]], width: float = WIDE) -> Figure:
    """Draw a panel of `draw_likelihood` for each (title, curves)."""
    rows, columns = grid_for(len(networks), width, 2.4)
    figure = Figure(figsize=(width, 2.9 * rows), layout="constrained")
    grid = panel_grid(figure, len(networks), width, 2.4)
    for axes, (title, curves) in zip(grid.flat, networks, strict=False):
        draw_likelihood(axes, curves)
        axes.set_title(title.replace(", ", ",\n", 1))
    for axes in grid[:, 0]:
        axes.set_ylabel("test NLL (nats)")
    return figure


def sample_size_figure(estimates, width: float = WIDE) -> Figure:
    """Draw the ECE that samples of a calibrated model show.

    estimates: sizes, plain, expected and debiased, each (N,).
    """
    figure = Figure(figsize=(min(width, 5.6), 3.7), layout="constrained")
    axes = figure.subplots()
    axes.plot(estimates.sizes, estimates.plain, "o", color=NEUTRAL, label="ECE, mean of many samples")
    axes.plot(estimates.sizes, estimates.expected, "-", color=NEUTRAL, label="what chance alone should give")
    axes.plot(estimates.sizes, estimates.debiased, "^--", color=CORRECTED, label="bias-corrected (root of mean square)")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("test examples")
    axes.set_ylabel("calibration error")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def draw_information(axes: Axes, panel) -> Axes:
    """Draw the mutual information along the training of each arm.

    It is the midpoint of the two estimates, the mean over the seeds, with a band from the lowest to the highest seed. A
    bar at the end goes from the leave-one-out to the plug-in estimate, means over the seeds: between them lies the
    truth. Lines are at log 2 and log N, or it is said how far above the latter is.

    panel: title, examples, and an arm's trajectory each with title, colour, steps (P,), plug_in, leave_one_out and
    midpoint (S, P).
    """
    for arm in panel.trajectories:
        colour, middle = COLOURS[arm.colour], arm.midpoint.mean(axis=0)
        axes.plot(arm.steps, middle, "o-", color=colour, markersize=3, label=arm.title)
        axes.fill_between(arm.steps, arm.midpoint.min(axis=0), arm.midpoint.max(axis=0), color=colour, alpha=0.25, lw=0)
        low, high = arm.leave_one_out[:, -1].mean(), arm.plug_in[:, -1].mean()
        axes.errorbar(
            arm.steps[-1] * 1.3, middle[-1], [[middle[-1] - low], [high - middle[-1]]], color=colour, capsize=3
        )
    top = 1.15 * max(np.log(2), *(arm.plug_in.max() for arm in panel.trajectories))
    for value, name in ((np.log(panel.examples), "log N"), (np.log(2), "log 2")):
        axes.axhline(value, color=NEUTRAL, linestyle=":", linewidth=1)
        above = value > top
        name = f" {name} = {value:.2f} ↑" if above else f" {name}"
        axes.text(
            1, 0.98 * top if above else value, name, fontsize="small", color=NEUTRAL, va="top" if above else "bottom"
        )
    axes.set_xscale("log")
    axes.set_ylim(0, top)
    axes.set_title(panel.title)
    axes.set_xlabel("training step")
    return axes


def information_figure(rows: Sequence[Sequence], width: float = WIDE) -> Figure:
    """Draw a panel of `draw_information` for each network and split."""
    panels = [panel for row in rows for panel in row]
    lines, columns = grid_for(len(panels), width, 3)
    figure = Figure(figsize=(min(width, 3.8 * columns), 3.2 * lines), layout="constrained")
    grid = panel_grid(figure, len(panels), width, 3)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_information(axes, panel)
    for axes in grid[:, 0]:
        axes.set_ylabel("mutual information (nats)")
    grid[0, 0].legend(loc="lower right")
    return figure


def bias_figure(bias, width: float = WIDE) -> Figure:
    """Draw both estimates of mutual information less the truth, a panel for each number of views.

    bias: spreads (P,), truth (P,), and plug_in and leave_one_out, by the number of views (P,).
    """
    rows, columns = grid_for(len(bias.plug_in), width, 1.7)
    figure = Figure(figsize=(width, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, views in zip(panels, bias.plug_in, strict=True):
        both = bias.plug_in[views], bias.leave_one_out[views]
        for values, style, name in ((both[0], "^-", "plug-in"), (both[1], "v-", "leave-one-out")):
            axes.plot(bias.spreads, values - bias.truth, style, color=NEUTRAL, markersize=4, label=name, alpha=0.7)
        midpoint = np.mean(both, axis=0) - bias.truth
        axes.plot(bias.spreads, midpoint, "o-", color=CORRECTED, markersize=4, label="midpoint")
        axes.axhline(0, color=NEUTRAL, linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_title(f"L = {views}")
    figure.supxlabel("spread of the means in units of the noise")
    figure.supylabel("estimate − truth (nats)")
    panels[-1].legend()
    return figure


def draw_against_temperature(axes: Axes, curves: Sequence, title: str) -> Axes:
    """Draw a quantity against the temperature: mean over the seeds, and a band from the lowest to the highest.

    curves: title, colour, temperatures (T,), values (S, T), fitted and reached (S,). A filled mark is at T = 1, an open
    one at each seed's temperature fitted on validation text.
    """
    for curve in curves:
        colour, mean = COLOURS[curve.colour], curve.values.mean(axis=0)
        axes.plot(curve.temperatures, mean, color=colour, label=curve.title)
        axes.fill_between(
            curve.temperatures, curve.values.min(axis=0), curve.values.max(axis=0), color=colour, alpha=0.25, lw=0
        )
        axes.plot(1, mean[curve.temperatures == 1], "o", color=colour)
        axes.plot(curve.fitted, curve.reached, "D", color=colour, markerfacecolor="none")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    axes.minorticks_off()
    axes.set_xlabel("temperature T")
    axes.set_ylabel(title)
    return axes


def temperature_figure(quantities: Sequence[tuple[str, Sequence]], width: float = WIDE) -> Figure:
    """Draw a panel of `draw_against_temperature` for each (title, curves)."""
    rows, columns = grid_for(len(quantities), width, 2.4)
    figure = Figure(figsize=(width, 2.8 * rows), layout="constrained")
    grid = panel_grid(figure, len(quantities), width, 2.4)
    for axes, (title, curves) in zip(grid.flat, quantities, strict=False):
        draw_against_temperature(axes, curves, title)
    grid[0, 0].legend()
    return figure


def risk_figure(
    networks: Sequence[tuple[str, Sequence[tuple[str, str, str, np.ndarray]]]], width: float = WIDE
) -> Figure:
    """Draw risk against coverage of each (title, curves): means over the seeds, bands from the lowest to the highest.

    curves: label, colour, style of the line, and risk (S, 100) at each hundredth of coverage.
    """
    rows, columns = grid_for(len(networks), width, 3)
    figure = Figure(figsize=(min(width, 4.6 * columns), 3.4 * rows + 0.7), layout="constrained")
    grid = panel_grid(figure, len(networks), width, 3)
    coverage = np.arange(1, 101)
    for axes, (title, curves) in zip(grid.flat, networks, strict=False):
        for label, colour, style, risk in curves:
            percent = 100 * risk
            axes.plot(coverage, percent.mean(axis=0), style, color=COLOURS[colour], label=label)
            axes.fill_between(
                coverage, percent.min(axis=0), percent.max(axis=0), color=COLOURS[colour], alpha=0.2, lw=0
            )
        axes.set(title=title, xlabel="coverage: accepted images (%)", xlim=(0, 100))
        axes.set_ylim(bottom=0)
    for axes in grid[:, 0]:
        axes.set_ylabel("risk: errors among them (%)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure
