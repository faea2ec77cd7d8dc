"""Results of papers on this network: thresholds, orbits, rates, probabilities and bounds."""

import math
from functools import partial

import numpy as np
import pandas as pd

import relulab as rl
from publications import measures
from publications.claims import PLAIN, Bound, Chance, Claim, Estimate, Exact

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
NORMAL = "relu(w x), 1,000 normal quantiles x, target relu(x), rate 0.02, 2,000 updates"
MULAYOFF = "Mulayoff, Michaeli & Soudry 2021, The Implicit Bias of Minima Stability, NeurIPS"
ARNEKVIST = "Arnekvist, Carvalho, Kragic & Stork 2020, arXiv 2005.06195"
POINT = "x = 1, target 3, c frozen at 0, w = b, A = (w + b)/q, q = sqrt(2)"
FROZEN = f"{POINT}, v = A"
K = "k = rate * q * target"
PARABOLA = "a dead unit's c, loss c^2/2"
FACTORS = f"linear w v, x = 1, target y = {measures.FACTOR_TARGET:g}"
TEACHER = "nine samples of relu(x + 0.2) on [-1, 1]"
STARTS = f"{TEACHER}, 2,000 starts from N(0, 1), rates 0.001 ... 10"
MOMENTUM = measures.MOMENTUM
LETTERS = "y = target/q, R = A^2 + v^2, s = q^2"
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
            setting=f"{NORMAL}, from w = {start}",
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
            setting=f"{FROZEN}, {K} = {k}: period 2, r the lower prediction / target",
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
        setting=f"{FROZEN}: the {K} from which the loss may rise on its way",
        published="monotone up to 2 sqrt(2) - 2",
        value=2 * math.sqrt(2) - 2,
        digits=6,
        measure=measures.never_rises,
    ),
    Exact(
        name="Chen et al. 2023, period 2",
        source=QUADRATIC,
        setting=f"{FROZEN}: the {K} from which zero loss is not stable",
        published="converges up to 1",
        value=1,
        digits=9,
        measure=measures.settles,
    ),
    Bound(
        name="Chen et al. 2023, chaos",
        source=QUADRATIC,
        setting=f"{FROZEN}, {K} = 1.5: the Lyapunov exponent, the mean of 200 starts",
        published="Lyapunov exponent",
        value=0,
        measure=partial(measures.lyapunov, 1.5),
    ),
    *(
        Exact(
            name=f"Chen et al. 2023, divergence{name}",
            source=QUADRATIC,
            setting=f"{setting}: the largest {K} with which all runs stay bounded",
            published="bounded up to 2",
            value=2,
            digits=12,
            measure=measure,
            why=why,
        )
        for name, setting, measure, why in (
            (
                "",
                FROZEN,
                measures.lives_up_to,
                "a linear network goes on when A changes sign; a ReLU dies, from 3 sqrt(3)/2 - 1",
            ),
            (", linear", f"linear, {FROZEN}", measures.bounded_up_to, ""),
        )
    ),
    Exact(
        name="Feigenbaum 1978",
        source="Feigenbaum 1978, J. Stat. Phys. 19",
        setting=f"{FROZEN}: the {K} of superstable orbits of periods 256, 512 and 1,024",
        published="ratio of the cascade",
        value=4.669201609,
        digits=5,
        measure=measures.feigenbaum,
    ),
    Exact(
        name="MacDonald et al. 2025",
        source="MacDonald et al. 2025, arXiv 2510.17506, Theorem 5.2",
        setting=f"{FROZEN}, {K} = 1, from 1.2 target, n = 16,000 and 64,000: the power of n with"
        " which the residual falls",
        published="power",
        value=-0.5,
        digits=2,
        measure=measures.power_at_the_edge,
    ),
    *(
        Exact(
            name=f"Saxe et al. 2013{name}",
            source="Saxe, McClelland & Ganguli 2013, arXiv 1312.6120",
            setting=f"{setting}: the prediction at the published time from f0 = 0.01, t = 3",
            published="prediction at ln(f1(t - f0)/(f0(t - f1)))/(2qt), f1",
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
            setting=f"{POINT}, A = {a}, v = {v}: the critical rate; {LETTERS}",
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
            setting=f"linear, {POINT}, A = {a}, v = {v}: the critical rate; {LETTERS}",
            published="min(1/|y|, 8/(R + sqrt(R^2 - 16y(Av - y))))/s",
            value=measures.critical_rate(a, v),
            digits=8,
            measure=partial(measures.converges_up_to, a, v, negative_slope=1),
        )
        for a, v in ((3.0, 0.2), (0.5, 4.0), (-1.0, 2.0))
    ),
    *(
        Estimate(
            name=f"Liang & Montufar 2025, {name}",
            source=source,
            setting=f"{FACTORS}, w, v in [-4.5, 4.5], rate 1, decay {decay:g}: dimension of the"
            " border of divergence, by pairs of starts 1/16 to 1/1024 apart",
            published=published,
            value=value,
            measure=partial(measures.boundary_dimension, decay),
        )
        for name, source, decay, published, value in (
            ("smooth", LIANG, 0.0, "an ellipse, dimension", 1),
            ("fractal", LIANG_4, 0.2, "box dimension", 1.249),
        )
    ),
    Exact(
        name="Srebro et al. 2004, shrinks",
        source=SREBRO,
        setting=f"{FACTORS}, rate 0.5, decay 0.2, from w = 1, v = 1.2: where w v ends",
        published="y - decay",
        value=measures.FACTOR_TARGET - 0.2,
        digits=6,
        measure=partial(measures.decayed_product, 0.2),
    ),
    Exact(
        name="Srebro et al. 2004, collapses",
        source=SREBRO,
        setting=f"{FACTORS}, rate 0.5, from w = 1, v = 1.2: the decay from which w v ends at 0",
        published="y",
        value=measures.FACTOR_TARGET,
        digits=5,
        measure=measures.collapses_from,
    ),
    Exact(
        name="LeCun et al. 1998",
        source="LeCun, Bottou, Orr & Muller 1998, Efficient BackProp",
        setting=f"{PARABOLA}: rate * curvature up to which c falls",
        published="twice the best, 1 / curvature",
        value=2,
        digits=9,
        measure=partial(measures.falls_on_a_parabola, PLAIN, 2),
    ),
    Exact(
        name="Du et al. 2018",
        source="Du, Hu & Lee 2018, arXiv 1806.00900",
        setting="x = -1, 0.5, 1, targets 1, 0, 2, from 0.9, 0.3, 0.7, 0.1, time 2, steps to 0",
        published="change of w^2 + b^2 - v^2",
        value=0,
        digits=8,
        measure=measures.drift_of_the_balance,
    ),
    *(
        Exact(
            name=f"Cohen et al. 2021, {name}",
            source="Cohen et al. 2021, arXiv 2103.00065, on momentum",
            setting=f"{FROZEN}, b = {MOMENTUM}: rate * sharpness to which zero loss is stable",
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
        setting=f"{PARABOLA}, Adam, b = 0.9, epsilon 1: rate * curvature up to which a tiny c"
        " falls",
        published="(2 + 2b)/(1 - b)",
        value=38,
        digits=9,
        measure=partial(measures.falls_on_a_parabola, rl.Adam(epsilon=1), 38),
    ),
    Exact(
        name="Cohen et al. 2022, hovers",
        source="Cohen et al. 2022, arXiv 2207.14484",
        setting=f"{PARABOLA}, from 1, Adam, 0.9, 0.99, rate 0.1: rate / sqrt(mean square), the"
        " median of steps 2,000 to 4,000",
        published="typically equilibrates at",
        value=38,
        digits=1,
        measure=partial(measures.hovering, 0.99),
    ),
    Exact(
        name="Goh 2017, critical",
        source=GOH,
        setting=f"{PARABOLA}, from 1, rate {measures.GOH_RATE}: the momentum above which c swings",
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
        setting=f"{STARTS}, Adam: largest first step / rate",
        published="sign of the gradient",
        value=1,
        digits=8,
        measure=partial(measures.longest_adam_step, 0.9, 0.999, 1),
    ),
    Bound(
        name="Kingma & Ba 2014, bound",
        source=KINGMA,
        setting=f"{STARTS}, 60 steps of Adam, 0.9, 0.999: largest step / rate",
        published="(1 - b1)/sqrt(1 - b2): step / rate",
        value=0.1 / math.sqrt(0.001),
        measure=partial(measures.longest_adam_step, 0.9, 0.999),
        upper=True,
    ),
    Bound(
        name="Kingma & Ba 2014, other bound",
        source=KINGMA,
        setting=f"{STARTS}, 60 steps of Adam, 0.9, 0.98, where 1 - b1 <= sqrt(1 - b2)",
        published="step / rate",
        value=1,
        measure=partial(measures.longest_adam_step, 0.9, 0.98),
        upper=True,
        why="gradients that grow fill the mean sooner than the mean square",
    ),
    Bound(
        name="Pascanu et al. 2013",
        source="Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063",
        setting=f"{STARTS}, 60 steps, gradients clipped to a threshold from U(0.1, 2)",
        published="step / (rate * threshold)",
        value=1,
        measure=measures.longest_clipped_step,
        upper=True,
    ),
    Bound(
        name="Kreisler et al. 2023",
        source="Kreisler, Nacson, Soudry & Carmon 2023, arXiv 2305.13064",
        setting=f"{POINT}, 50,000 starts |A|, v from N(0, 1), rates U(0, 0.5): one step, where"
        " (rate q residual)^2 <= 2",
        published="sharpness of the gradient-flow solution, after / before",
        value=1,
        measure=measures.flow_sharpness_ratio,
        upper=True,
    ),
    Bound(
        name="Mulayoff et al. 2021",
        source=MULAYOFF,
        setting=f"{TEACHER}, N(0, 1) starts, 12 rates 0.02 ... 2, minima with a living unit of"
        " 6,000 runs",
        published="sharpness / (1 + 2|vw|g)",
        value=1,
        measure=measures.sharpness_over_bound,
    ),
    Bound(
        name="Mulayoff et al. 2021, at a kink",
        source=MULAYOFF,
        setting="16 samples of 1.5 relu(x + 0.2) on [-1, 1], whose hinge is on a sample, 4,000"
        " starts near it, rates 0.1 ... 2: rate * smaller one-sided sharpness where runs settle",
        published="rate * sharpness",
        value=2,
        measure=measures.edge_at_a_kink,
        upper=True,
    ),
    *(
        Bound(
            name=f"Arnekvist et al. 2020, {name}",
            source=ARNEKVIST,
            setting="relu(w x + b), 40 normal quantiles x, target |x| standardized, times std 0.01,"
            " w from N(0, 1), b = 0, rate 0.01, momentum 0.9, 1,000 runs: by which fraction more"
            f" die than with {other}, the lower limit",
            published="more die with",
            value=0,
            measure=partial(measures.dying_more, std, momentum),
        )
        for name, other, std, momentum in (
            ("small targets", "std 1", 1, MOMENTUM),
            ("momentum", "momentum 0", 0.01, 0),
        )
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
        setting="target 2x - 1 at 101 points of [0, 1], N(0, 1) starts, rate 0.5: living units"
        " that settle above the smallest loss",
        published="none but with dead units",
        value=0,
        sweep=rl.Sweep(
            data=rl.TrainingSet(LINE, 2 * LINE - 1),
            **rl.standard_normal(),
            draws=2_000,
            learning_rate=0.5,
            max_steps=20_000,
        ),
        among=lambda runs: (runs["unit"] == "alive") & (runs["outcome"] == "converged"),
        event=lambda runs: runs["excess_loss"] > 1e-6,
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
        setting=f"{NORMAL}, from w ~ N(0, 1): does not find w = 1",
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
        setting="slope 0.01, x = 1, target 1, c frozen at 0, w, b, v ~ N(0, 1), rate 0.1: does"
        " not learn it in 20,000 updates",
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
