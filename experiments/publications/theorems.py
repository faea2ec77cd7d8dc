"""What papers say of this network: thresholds, orbits, rates, probabilities and bounds.

Left out, because they need momentum or weight decay: Arnekvist et al. 2020 (arXiv 2005.06195), and
Theorem 4 of Liang & Montufar 2025.
"""

import math
from functools import partial

import numpy as np
import pandas as pd

import relulab as rl
from publications import measures
from publications.claims import Bound, Chance, Claim, Exact

STACK_EXCHANGE = "Stack Exchange (stats) 379884, Why can't a single ReLU learn a ReLU?"
CHEN_BRUNA = "Chen & Bruna 2022, arXiv 2206.04172"
QUADRATIC = "Chen, Balasubramanian, Ghosal & Agrawalla 2023, arXiv 2310.01687"
LIANG = "Liang & Montufar 2025, arXiv 2509.25351, Theorem 1"
SHIN = "Shin & Karniadakis 2019, arXiv 1907.09696, at d = 1"
CHERIDITO = "Cheridito, Jentzen & Rossmannek 2022, arXiv 2103.10922"
FROZEN = "c frozen at 0, balanced"
SIGN = "the theorem is of linear networks, which go on where A changes sign; there a ReLU dies"


def born_dead(r: float) -> rl.Sweep:
    """Return random units whose samples reach from -r to r, of which none is trained."""
    return rl.Sweep(
        data=rl.TrainingSet([-r, r], [0.0, 0.0]),
        **rl.standard_normal(),
        draws=100_000,
        learning_rate=0.1,
        max_steps=0,
    )


def is_born_dead(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return which units are born dead."""
    return runs["unit"] == "born_dead"


LINE = np.linspace(0, 1, 101)

THEOREMS: list[Claim] = [
    *(
        Exact(
            name=f"Stack Exchange 379884, w = {start}",
            source=STACK_EXCHANGE,
            setting=f"relu(w x), w = {start}, x normal, target relu(x), Keras' SGD, 2,000 updates",
            published=published,
            value=end,
            digits=6,
            measure=partial(measures.slope_learned, start),
        )
        for start, end, published in (
            (10, 1, "converges to the correct weight"),
            (-10, 0, "gets stuck at a weight of zero"),
        )
    ),
    *(
        Exact(
            name=f"Chen & Bruna 2022, k = {k}",
            source=CHEN_BRUNA,
            setting=f"{FROZEN}, k = {k}: period 2, r the lower prediction / target",
            published="r (sqrt(1/r - 3/4) + 1/2) = 1/k",
            value=1 / k,
            digits=9,
            measure=partial(measures.two_cycle, k),
        )
        for k in (1.05, 1.1, 1.15, 1.2)
    ),
    Exact(
        name="Chen et al. 2023, catapults",
        source=QUADRATIC,
        setting=f"{FROZEN}: the k from which the loss may rise on its way",
        published="monotone up to 2 sqrt(2) - 2",
        value=2 * math.sqrt(2) - 2,
        digits=6,
        measure=measures.never_rises,
    ),
    Exact(
        name="Chen et al. 2023, period 2",
        source=QUADRATIC,
        setting=f"{FROZEN}: the k from which zero loss is not stable",
        published="converges up to 1",
        value=1,
        digits=9,
        measure=measures.settles,
    ),
    Bound(
        name="Chen et al. 2023, chaos",
        source=QUADRATIC,
        setting=f"{FROZEN}, k = 1.5: the Lyapunov exponent",
        published="Lyapunov exponent",
        value=0,
        measure=partial(measures.lyapunov, 1.5),
    ),
    Exact(
        name="Feigenbaum 1978",
        source="Feigenbaum 1978, J. Stat. Phys. 19",
        setting=f"{FROZEN}: superstable orbits of periods 256, 512 and 1,024",
        published="ratio of the cascade",
        value=4.669201609,
        digits=5,
        measure=measures.feigenbaum,
    ),
    Exact(
        name="MacDonald et al. 2025",
        source="MacDonald et al. 2025, arXiv 2510.17506, Theorem 5.2",
        setting=f"{FROZEN}, k = 1: the power of n with which the residual falls",
        published="power",
        value=-0.5,
        digits=2,
        measure=measures.power_at_the_edge,
    ),
    Exact(
        name="Saxe et al. 2013",
        source="Saxe, McClelland & Ganguli 2013, arXiv 1312.6120",
        setting=f"{FROZEN}: the prediction at the published time from {measures.SAXE_FROM}",
        published="prediction at ln(f1(t - f0)/(f0(t - f1)))/(2qt)",
        value=measures.SAXE_TO,
        digits=8,
        measure=measures.reached_by_flow,
    ),
    *(
        Exact(
            name=f"Liang & Montufar 2025, ({a}, {v})",
            source=LIANG,
            setting=f"c frozen at 0, A = {a}, v = {v}: the critical rate",
            published="min(1/|y|, 8/(R + sqrt(R^2 - 16y(Av - y))))/s",
            value=measures.critical_rate(a, v),
            digits=3,
            measure=partial(measures.converges_up_to, a, v),
            why=why,
        )
        for a, v, why in (
            (0.9, 0.9, ""),
            (3.0, 0.2, SIGN),
            (0.5, 4.0, SIGN),
        )
    ),
    Bound(
        name="Kreisler et al. 2023",
        source="Kreisler, Nacson, Soudry & Carmon 2023, arXiv 2305.13064",
        setting="c frozen at 0, 50,000 random starts, (rate q residual)^2 <= 2, one step",
        published="sharpness of the gradient-flow solution, after / before",
        value=1,
        measure=measures.flow_sharpness_ratio,
        upper=True,
    ),
    Bound(
        name="Mulayoff et al. 2021",
        source="Mulayoff, Michaeli & Soudry 2021",
        setting="a teacher's nine samples, minima with a living unit of 6,000 runs",
        published="sharpness / (1 + 2|vw|g)",
        value=1,
        measure=measures.sharpness_over_bound,
    ),
    Exact(
        name="Cheridito et al. 2022, dead",
        source=CHERIDITO,
        setting="target 2x - 1, x uniform on [0, 1] (20,000 midpoints): loss of a dead unit",
        published="alpha^2/24 at alpha = 2",
        value=1 / 6,
        digits=8,
        measure=measures.dead_loss,
    ),
    Chance(
        name="Cheridito et al. 2022, living",
        source=CHERIDITO,
        setting="target 2x - 1 at 101 points of [0, 1]: a local minimum with a living unit",
        published="none but with dead units",
        value=0,
        sweep=rl.Sweep(
            data=rl.TrainingSet(LINE, 2 * LINE - 1),
            **rl.standard_normal(),
            draws=2_000,
            learning_rate=0.5,
            max_steps=20_000,
        ),
        event=lambda runs: (
            (runs["unit"] == "alive")
            & (runs["outcome"] == "converged")
            & (runs["excess_loss"] > 1e-6)
        ),
    ),
    *(
        Chance(
            name=f"Shin & Karniadakis 2019, r = {name}",
            source=SHIN,
            setting=f"w, b ~ N(0, 1), x from -{name} to {name}: born dead",
            published="arctan(1/r)/pi",
            value=math.atan(1 / r) / math.pi,
            sweep=born_dead(r),
            event=is_born_dead,
        )
        for name, r in (("1", 1.0), ("sqrt(3)", math.sqrt(3)), ("1/2", 0.5))
    ),
    Chance(
        name="Stack Exchange 379884, random w",
        source=STACK_EXCHANGE,
        setting="relu(w x), x normal, target relu(x), w ~ N(0, 1): does not find w = 1",
        published="half the time it fails",
        value=0.5,
        sweep=rl.Sweep(
            data=measures.RELU_DATA,
            w=rl.Normal(0, 1),
            b=0.0,
            v=1.0,
            c=0.0,
            freeze=("b", "v", "c"),
            draws=10_000,
            learning_rate=measures.KERAS_RATE,
            max_steps=2_000,
        ),
        event=lambda runs: (runs["w"] - 1).abs() > 0.01,
    ),
]
