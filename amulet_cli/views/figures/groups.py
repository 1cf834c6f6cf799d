"""How differently groups of people are answered."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from amulet_cli.results.evidence import RATES, GroupRates
from amulet_cli.views.figures import style
from amulet_cli.views.figures.sweep import half_width


def group_rates(seeds: Sequence[GroupRates]) -> Figure:
    """Predicted-positive rate, TPR and FPR of each group under both victims: a dot each, joined by the gap.

    Args:
        seeds: the rates of one attribute, one entry per seed; whiskers are 95 % t intervals over these.
    """
    first = seeds[0]
    count = len(first.groups)
    figure = style.new(5.2, 0.9 + 0.34 * len(RATES) * count)
    grid = figure.add_gridspec(len(RATES), 1)
    panels = [style.panel(figure, grid[i, 0]) for i in range(len(RATES))]
    for which, axes in enumerate(panels):
        axes.sharex(panels[0])
        for offset, victim in zip((-0.14, 0.14), style.VICTIMS, strict=True):
            each = np.array([seed.rates[victim][which] for seed in seeds if victim in seed.rates])
            if not len(each):
                continue
            looks = style.VICTIMS[victim]
            for group in range(count):
                values = each[:, group][np.isfinite(each[:, group])]
                if not len(values):
                    continue
                error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
                axes.errorbar(
                    values.mean(),
                    group + offset,
                    xerr=half_width(float(error), len(values)),
                    color=looks["color"],
                    marker=looks["marker"],
                    markersize=5,
                    linewidth=1.2,
                    linestyle="none",
                    label=victim if group == 0 else None,
                )
        axes.set_yticks(range(count), [style.literal(name) for name in first.groups])
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_title(RATES[which], loc="left", color=style.INK, fontsize=style.SMALL + 0.5)
        axes.xaxis.set_major_formatter(style.per_cent)
        if which < len(RATES) - 1:
            axes.tick_params(labelbottom=False)
    style.whole_at_zero(panels[0], "x")
    style.legend(panels[0], loc="upper left", bbox_to_anchor=(1, 1.1))
    return figure
