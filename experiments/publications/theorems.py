"""Results of papers on this network: thresholds, orbits, rates, probabilities and bounds."""

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
LIANG_4 = "Liang & Montufar 2025, arXiv 2509.25351, Theorem 4"
GOH = "Goh 2017, Why Momentum Really Works, Distill"
KINGMA = "Kingma & Ba 2014, arXiv 1412.6980, Section 2.1"
SREBRO = "Srebro, Rennie & Jaakkola 2004, Maximum-Margin Matrix Factorization, of one number"
SHIN = "Shin & Karniadakis 2019, arXiv 1907.09696, at d = 1"
CHERIDITO = "Cheridito, Jentzen & Rossmannek 2022, arXiv 2103.10922"
FROZEN = "c frozen at 0, balanced"
PARABOLA = "a dead unit's c, loss c^2/2"
FACTORS = f"linear w v, target y = {measures.FACTOR_TARGET:g}"
MOMENTUM = 0.9
SIGN = "the theorem is of linear networks, which continue when A changes sign; there a ReLU dies"


def born_dead(r: float) -> rl.Sweep:
    """Return random units with samples from -r to r, which are not trained."""
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
    *(
        Exact(
            name=f"Saxe et al. 2013{name}",
            source="Saxe, McClelland & Ganguli 2013, arXiv 1312.6120",
            setting=f"{setting}: the prediction at the published time from {measures.SAXE_FROM}",
            published="prediction at ln(f1(t - f0)/(f0(t - f1)))/(2qt)",
            value=measures.SAXE_TO,
            digits=8,
            measure=partial(measures.reached_by_flow, linear=linear),
        )
        for name, setting, linear in (
            ("", FROZEN, False),
            (", A < 0", f"linear, {FROZEN}, A < 0 (where a ReLU is dead)", True),
        )
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
    *(
        Exact(
            name=f"Liang & Montufar 2025, ({a}, {v}), linear",
            source=LIANG,
            setting=f"linear, c frozen at 0, A = {a}, v = {v}: the critical rate",
            published="min(1/|y|, 8/(R + sqrt(R^2 - 16y(Av - y))))/s",
            value=measures.critical_rate(a, v),
            digits=8,
            measure=partial(measures.converges_up_to, a, v, negative_slope=1),
        )
        for a, v in ((3.0, 0.2), (0.5, 4.0), (-1.0, 2.0))
    ),
    Exact(
        name="Liang & Montufar 2025, smooth",
        source=LIANG,
        setting=f"{FACTORS}, rate 1: dimension of the border of divergence, 1/16 to 1/1024",
        published="an ellipse",
        value=1,
        digits=1,
        measure=partial(measures.boundary_dimension, 0),
    ),
    Exact(
        name="Liang & Montufar 2025, fractal",
        source=LIANG_4,
        setting="the same with decay 0.2",
        published="box dimension",
        value=1.249,
        digits=1,
        measure=partial(measures.boundary_dimension, 0.2),
    ),
    Exact(
        name="Srebro et al. 2004, shrinks",
        source=SREBRO,
        setting=f"{FACTORS}, decay 0.2: where w v ends",
        published="y - decay",
        value=measures.FACTOR_TARGET - 0.2,
        digits=6,
        measure=partial(measures.decayed_product, 0.2),
    ),
    Exact(
        name="Srebro et al. 2004, collapses",
        source=SREBRO,
        setting=f"{FACTORS}: the decay from which w v ends at 0",
        published="y",
        value=measures.FACTOR_TARGET,
        digits=5,
        measure=measures.collapses_from,
    ),
    *(
        Exact(
            name=f"Cohen et al. 2021, {name}",
            source="Cohen et al. 2021, arXiv 2103.00065, on momentum",
            setting=f"{FROZEN}, momentum {MOMENTUM}: rate * sharpness to which zero loss is stable",
            published=published,
            value=limit,
            digits=8,
            measure=partial(measures.sharpness_limit, optimizer, limit),
        )
        for name, published, limit, optimizer in (
            ("heavy ball", "2 + 2b", 2 + 2 * MOMENTUM, rl.SGD(momentum=MOMENTUM)),
            (
                "Nesterov",
                "(2 + 2b)/(1 + 2b)",
                (2 + 2 * MOMENTUM) / (1 + 2 * MOMENTUM),
                rl.SGD(momentum=MOMENTUM, nesterov=True),
            ),
        )
    ),
    Exact(
        name="Cohen et al. 2022, Adam",
        source="Cohen et al. 2022, arXiv 2207.14484",
        setting=f"{PARABOLA}, Adam, epsilon 1: rate * curvature up to which c falls",
        published="(2 + 2b)/(1 - b), b = 0.9",
        value=38,
        digits=9,
        measure=partial(measures.falls_on_a_parabola, rl.Adam(epsilon=1), 38),
    ),
    Exact(
        name="Cohen et al. 2022, hovers",
        source="Cohen et al. 2022, arXiv 2207.14484",
        setting=f"{PARABOLA}, Adam, beta2 0.99: rate * preconditioned curvature, the median",
        published="typically equilibrates at",
        value=38,
        digits=1,
        measure=partial(measures.hovering, 0.99),
    ),
    Exact(
        name="Goh 2017, critical",
        source=GOH,
        setting=f"{PARABOLA}, rate {measures.GOH_RATE}: the momentum above which c swings",
        published="(1 - sqrt(rate))^2",
        value=(1 - math.sqrt(measures.GOH_RATE)) ** 2,
        digits=4,
        measure=measures.critical_momentum,
    ),
    Exact(
        name="Goh 2017, rate",
        source=GOH,
        setting=f"{PARABOLA}, rate {measures.GOH_RATE}, momentum 0.5: factor by which swings fall",
        published="sqrt(momentum)",
        value=math.sqrt(0.5),
        digits=12,
        measure=partial(measures.rate_of_convergence, 0.5),
    ),
    Exact(
        name="Kingma & Ba 2014, first step",
        source=KINGMA,
        setting="2,000 random starts on a teacher's nine samples: largest first step / rate",
        published="sign of the gradient",
        value=1,
        digits=8,
        measure=partial(measures.longest_adam_step, 0.9, 0.999, 1),
    ),
    Bound(
        name="Kingma & Ba 2014, bound",
        source=KINGMA,
        setting="the same, 60 steps, beta 0.9, 0.999: largest step / rate",
        published="(1 - b1)/sqrt(1 - b2): step / rate",
        value=0.1 / math.sqrt(0.001),
        measure=partial(measures.longest_adam_step, 0.9, 0.999),
        upper=True,
    ),
    Bound(
        name="Kingma & Ba 2014, other bound",
        source=KINGMA,
        setting="the same, beta 0.9, 0.98, where 1 - b1 <= sqrt(1 - b2)",
        published="step / rate",
        value=1,
        measure=partial(measures.longest_adam_step, 0.9, 0.98),
        upper=True,
        why="gradients that grow fill the mean sooner than the mean square",
    ),
    Bound(
        name="Pascanu et al. 2013",
        source="Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063",
        setting="the same starts, descent with clipped gradients, 60 steps",
        published="step / (rate * threshold)",
        value=1,
        measure=measures.longest_clipped_step,
        upper=True,
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
    Chance(
        name="Maas et al. 2013",
        source="Maas, Hannun & Ng 2013, Rectifier Nonlinearities Improve Acoustic Models",
        setting="slope 0.01, x = 1, target 1, c frozen at 0, w, b, v ~ N(0, 1): does not learn it",
        published="never without a gradient",
        value=0,
        sweep=rl.Sweep(
            data=rl.TrainingSet.point(1, 1),
            **(rl.standard_normal() | {"c": 0.0}),
            freeze=("c",),
            negative_slope=0.01,
            draws=5_000,
            learning_rate=0.1,
            max_steps=20_000,
        ),
        event=lambda runs: (runs["outcome"] != "converged") | (runs["excess_loss"] > 1e-6),
    ),
]
