"""Simulations that leave the assumptions of the closed form: what is left of the benefit of early exposure, a figure a study.

Points are means over seeds, bands their intervals (Student, 95 %); closed forms are dashed.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style
from figures.bands import LOOKS, REFERENCE, band
from figures.tables import Rows

GAIN = "gain of early exposure in $L_\\mathrm{ret}$"
STARTS = {"aligned": "aligned start", "random": "small random start", "identity": "scaled identity"}
OPTIMISERS = {"gd": "SGD", "momentum": "momentum", "adam": "Adam"}
BAND = Patch(color="0.85", label="95 % over seeds")
BASES = {"unit": "a unit a mode", "equal": "all units equally", "random": "random basis"}


def misaligned(table: Any) -> Figure:
    """Share of the gain left against the rotation of the tasks, before and after fine-tuning."""
    rows = Rows(table)
    figure, axes = style.panels(1, 3, height=2.8, sharey=True)
    short, long = min(rows.distinct("t_pre")), max(rows.distinct("t_pre"))
    kinds = (("aligned", short), ("random", short), ("aligned", long))
    for ax, (init, t_pre) in zip(axes[0], kinds, strict=True):
        here = rows.where(sims__init=init, t_pre=t_pre)
        for look, (loss, name) in enumerate((("loss_ret", "after fine-tuning"), ("loss_im", "before fine-tuning"))):
            points, gains = here.gain("sims.rotation_stated", loss)
            band(ax, points, gains / gains[:, 0].mean(), look, name)
        ax.axhline(1.0, **REFERENCE, label="as much as without rotation")
        ax.set_title(STARTS[init] + (f", {t_pre / short:g} times the stage 1" if t_pre != short else ""))
        ax.set_xlabel("rotation $\\rho$ of every task, $\\exp(\\rho K)$")
    axes[0, 0].set_ylabel("gain of early exposure,\nshare of that at $\\rho$ = 0")
    style.legend_below(figure, [*axes[0, 0].get_legend_handles_labels()[0], BAND], 4)
    return figure


def noisy(table: Any) -> Figure:
    """Gain against step size for SGD and Adam, and loss_ret when the same exposure is moved into stage 1."""
    rows = Rows(table)
    gains, law = rows.where(sims__part="gain"), rows.where(sims__part="law")
    figure, axes = style.panels(1, 3, height=2.9)
    plain = gains.where(sims__optimiser="gd")
    kinds = [(size, noise) for size in plain.distinct("sims.batch") for noise in plain.distinct("problem.label_noise")]
    for look, (size, noise) in enumerate(kinds):
        here = plain.where(sims__batch=size, problem__label_noise=noise)
        band(axes[0, 0], *here.gain("sims.rate"), look, f"batch {size:g}, label noise {noise:g}")
    axes[0, 0].set_title("SGD")
    band(axes[0, 1], *gains.where(sims__optimiser="adam").gain("sims.rate"), 4, "Adam, batch 8")
    axes[0, 1].set_title("Adam")
    for ax in axes[0, :2]:
        ax.axhline(gains["sims.flow_gain"][0], **REFERENCE, label="gradient flow, closed form")
        ax.set_xlabel("step size")
        ax.set_ylabel(GAIN)
        ax.legend(loc="lower left")
    axes[0, 0].set_ylim(0.6, 0.85)
    axes[0, 1].set_ylim(bottom=0)
    kinds = [(name, rate) for name in OPTIMISERS for rate in law.where(sims__optimiser=name).distinct("sims.rate")]
    for look, (name, rate) in enumerate(kinds):
        here = law.where(sims__optimiser=name, sims__rate=rate)
        shares, retained = here.by_seed("sims.share", "loss_ret")
        band(axes[0, 2], shares, retained, look, f"{OPTIMISERS[name]}, step {rate:g}")
    axes[0, 2].set_title("equal $D_\\mathrm{post}$ exposure")
    axes[0, 2].set_xlabel("share of it in stage 1")
    axes[0, 2].set_ylabel(style.AXES["loss_ret"])
    axes[0, 2].set_ylim(top=2.35)
    axes[0, 2].legend(loc="upper left")
    return figure


def sampled(table: Any) -> Figure:
    """Gain against exposure for samples of several sizes, and what label noise leaves against the size."""
    rows = Rows(table)
    noise, alpha = max(rows.distinct("problem.label_noise")), max(rows.distinct("alpha"))
    sizes = sorted(rows.distinct("sims.samples"))
    figure, axes = style.panels(1, 2, height=2.9)
    early = rows.where(t_post=0.0, problem__label_noise=noise)
    for look, size in enumerate(sizes):
        here = early.where(sims__samples=size)
        times, gains = here.gain("t_pre")
        band(axes[0, 0], alpha * times, gains, look, f"N = {size:g}")
        ceiling = here["problem.beta"][0] ** 2 - here["sims.floor"][0] - here["sims.conflict"][0]
        axes[0, 0].axhline(ceiling, color=LOOKS[look][0], ls="--", lw=0.8)
    axes[0, 0].set_xlabel("exposure $\\alpha\\, t_\\mathrm{pre}$ (flow time)")
    axes[0, 0].set_ylabel(GAIN)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xticks(alpha * times, [f"{tick:g}" for tick in alpha * times])
    axes[0, 0].minorticks_off()
    axes[0, 0].plot([], [], **REFERENCE, label="$\\beta^2$ minus its noise floor")
    axes[0, 0].legend()
    mixed = rows.where(alpha=alpha, t_pre=max(times))
    kinds = ((0.0, "early exposure only", "N - k - 1"), (1.0, "and a stage 2 on the sample", "N - n - 1"))
    for look, (t_post, name, form) in enumerate(kinds, start=1):
        here = mixed.where(t_post=t_post)
        at = here.where(problem__label_noise=noise)
        points, noisy_loss, silent = at.against(here.where(problem__label_noise=0.0), "sims.samples", "loss_ret")
        band(axes[0, 1], points, noisy_loss - silent, look, name, ls="none")
        axes[0, 1].plot(points, at.by_seed("sims.samples", "sims.floor")[1][0], color=LOOKS[look][0], lw=0.9, ls="--",
                        label=f"$n \\tau^2 k/({form})$")  # fmt: skip
    axes[0, 1].set_xscale("log")
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_xticks(points, [f"{size:g}" for size in points])
    axes[0, 1].set_yticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
    axes[0, 1].minorticks_off()
    axes[0, 1].set_xlabel("unique $D_\\mathrm{post}$ examples $N$")
    axes[0, 1].set_ylabel("$L_\\mathrm{ret}$ that label noise adds")
    axes[0, 1].legend()
    return figure


def started(table: Any) -> Figure:
    """Gain against initial scale, the specialised strength a seed after stage 1, and what fine-tuning brings back."""
    rows = Rows(table)
    figure, axes = style.panels(1, 3, height=2.9)
    random = rows.where(sims__init="random")
    for look, width in enumerate(sorted(random.distinct("sims.width")), start=1):
        name, colour = f"random, width {width:g}", LOOKS[look][0]
        here = random.where(sims__width=width)
        part = here.where(sims__part="gain")
        scales, gains = part.gain("problem.init_scale")
        band(axes[0, 0], scales, gains, look, name)
        closed = part.where(alpha=0.0).by_seed("problem.init_scale", "sims.expected_gain")[1][0]
        axes[0, 0].plot(scales, closed, color=colour, ls="--", lw=0.9)
        start = here.where(sims__part="start")
        middle = start.distinct("alpha")[1]
        learned = np.sort(start.where(alpha=middle)["sims.specialised"] / start["problem.beta"][0])
        axes[0, 1].step(learned, (np.arange(len(learned)) + 0.5) / len(learned), color=colour, label=name)
        frozen = here.where(sims__part="frozen")
        points, after, before = frozen.by_seed("problem.init_scale", "loss_ret", "loss_im")
        shift = (frozen["problem.sigma_post"][0] - frozen["problem.sigma_ft"][0]) ** 2
        back = after - before - shift
        band(axes[0, 2], points, back / frozen["problem.beta"][0] ** 2, look, name)
    for init, marker in (("aligned", "x"), ("identity", "+")):
        scale, gains = rows.where(sims__init=init).gain("problem.init_scale")
        axes[0, 0].plot(scale, gains.mean(0), color="0.3", marker=marker, ms=7, ls="none", label=STARTS[init])
    axes[0, 0].plot([], [], **REFERENCE, label="closed form, mean strength")
    axes[0, 0].set_title("gain")
    axes[0, 0].set_ylabel(GAIN)
    axes[0, 1].set_title("learned after the same exposure")
    axes[0, 1].set_ylabel("share of the seeds below")
    axes[0, 1].set_xlabel("specialised feature, share learned")
    axes[0, 2].axhline(0.0, **REFERENCE)
    axes[0, 2].set_title("forgotten again in stage 3")
    axes[0, 2].set_ylabel("share of $\\beta^2$ that comes back")
    for ax in axes[0, [0, 2]]:
        ax.set_xlabel("initial scale $\\zeta$")
        ax.set_xscale("log")
        style.log_ticks(ax.xaxis)
    style.legend_below(figure, [*axes[0, 0].get_legend_handles_labels()[0], BAND], 4)
    return figure


SCALE_DASHES = ("-", "--", ":")
"""Dash of each initial strength, from the largest."""


def layered(table: Any) -> Figure:
    """Onset of learning from random and aligned starts, and weight decay, by depth."""
    rows = Rows(table)
    figure, axes = style.panels(1, 3, height=2.9)
    depths = sorted(rows.distinct("sims.depth"))
    for look, layers in enumerate(depths):
        colour, marker = LOOKS[look]
        here = rows.where(sims__depth=layers)
        onset = here.where(sims__part="onset")
        exposures, learned = onset.where(sims__init="random").by_seed("sims.exposure", "sims.specialised")
        band(axes[0, 0], exposures, learned / onset["problem.beta"][0], look, f"depth {layers:g}", markevery=10)
        aligned = onset.where(sims__init="aligned")
        for dash, scale in zip(SCALE_DASHES, aligned.distinct("problem.init_scale"), strict=False):
            one = aligned.where(problem__init_scale=scale)
            order = one.sorted_by("sims.exposure")
            x, beta = one["sims.exposure"][order], one["problem.beta"][0]
            axes[0, 1].plot(x, one["sims.closed"][order] / beta, color=colour, ls=dash, lw=1.1)
            axes[0, 1].plot(x, one["sims.specialised"][order] / beta, color=colour, marker=marker, ls="none", ms=2.5,
                            markevery=3)  # fmt: skip
        shares, strength = here.where(sims__part="decay").by_seed("sims.share", "sims.specialised_im")
        axes[0, 2].plot(shares, strength[0], color=colour, marker=marker)
        best = int(strength[0].argmax())
        axes[0, 2].plot(shares[best], strength[0, best], color=colour, marker="*", ms=9)
    axes[0, 0].set_title("small random start")
    axes[0, 1].set_title("aligned start $a_0$; lines: closed form")
    for ax in axes[0, :2]:
        ax.set_xscale("log")
        ax.set_xlabel("exposure (flow time)")
        ax.set_ylabel("specialised feature, share learned")
    axes[0, 2].set_title("with weight decay")
    axes[0, 2].set_xlabel(style.AXES["exposure"])
    axes[0, 2].set_ylabel("specialised strength after stage 2")
    handles = [
        Line2D([], [], color=c, marker=m, label=f"depth {d:g}") for (c, m), d in zip(LOOKS, depths, strict=False)
    ]
    handles += [
        Line2D([], [], color="0.4", ls=dash, label=f"$a_0$ = {scale**2:g}")
        for dash, scale in zip(SCALE_DASHES, aligned.distinct("problem.init_scale"), strict=False)
    ]
    handles.append(Line2D([], [], color="0.3", marker="*", ms=8, ls="none", label="best $\\lambda$"))
    style.legend_below(figure, handles, 7)
    return figure


def leaked(table: Any) -> Figure:
    """Gain left under leakage, the pace of forgetting, and what dropout takes from frozen features."""
    rows = Rows(table)
    figure, axes = style.panels(1, 3, height=2.9)
    leaking = rows.where(sims__part="leakage")
    leaking = leaking.where(problem__leakage=max(leaking.distinct("problem.leakage")))
    turned = max(leaking.distinct("problem.rotation"))
    kinds = (("aligned", 0.0, "aligned start"), ("random", 0.0, "small random start"),
             ("random", turned, "random start, tasks turned"))  # fmt: skip
    for look, (init, rotation, name) in enumerate(kinds):
        here = leaking.where(sims__init=init, problem__rotation=rotation)
        times, gains = here.gain("t_ft")
        x = 4 * here["problem.leakage"][0] * here["problem.beta"][0] * times
        left = gains / here.gain("t_ft", "loss_im")[1]
        band(axes[0, 0], x, left, look, name, ls="none", mfc="none" if look else None)
    fine = np.linspace(0, x[-1], 100)
    axes[0, 0].plot(fine, (1 + 2 * fine) / (1 + fine) ** 2, **REFERENCE, label="$(1 + 2x)/(1 + x)^2$")
    axes[0, 0].axhline(0.5, color="0.7", lw=0.7, zorder=0)
    axes[0, 0].set_ylim(0, 1.4)
    axes[0, 0].set_yticks(np.arange(0, 1.1, 0.25))
    axes[0, 0].set_title("features that $D_\\mathrm{ft}$ leaks into")
    axes[0, 0].set_xlabel("leakage and time, $x = 4\\, \\epsilon\\, \\beta\\, t_\\mathrm{ft}$")
    axes[0, 0].set_ylabel("share of the gain left")
    forgetting = rows.where(sims__part="rate", sims__init="random", problem__rotation=0.0)
    for look, sigma in enumerate(forgetting.distinct("problem.sigma_ft")):
        times, losses = forgetting.where(problem__sigma_ft=sigma).by_seed("t_ft", "loss_ft")
        distance = np.sqrt(losses)
        band(axes[0, 1], times, distance, look, f"$\\sigma_\\mathrm{{ft}}$ = {sigma:g}", ls="none")
        late, end = np.linspace(times[0], times[-1], 50), distance.mean(0)[-1]
        law = end * np.exp(4 * sigma * (times[-1] - late)) if sigma else 1 / (1 / end + 4 * (late - times[-1]))
        axes[0, 1].plot(late, law, color=LOOKS[look][0], ls="--", lw=0.9)
    axes[0, 1].plot([], [], **REFERENCE, label="slope, closed form")
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_ylim(top=60)
    axes[0, 1].set_yticks([1e-4, 1e-3, 1e-2, 1e-1])
    axes[0, 1].minorticks_off()
    axes[0, 1].set_title("pace of forgetting")
    axes[0, 1].set_xlabel(style.AXES["t_ft"])
    axes[0, 1].set_ylabel("distance of the shared feature\nto its $D_\\mathrm{ft}$ target")
    for look, (basis, name) in enumerate(BASES.items()):
        here = rows.where(sims__part="dropout", sims__basis=basis)
        points, after, before = here.by_seed("problem.dropout_ft", "sims.specialised", "sims.specialised_im")
        band(axes[0, 2], points, 1 - after / before, look, name)
    axes[0, 2].set_title("frozen features under dropout")
    axes[0, 2].set_xlabel("dropout in stage 3")
    axes[0, 2].set_ylabel("share of a frozen feature lost")
    axes[0, 0].legend(loc="upper right")
    axes[0, 1].legend(loc="upper right")
    axes[0, 2].legend(loc="center right", bbox_to_anchor=(1, 0.3))
    return figure
