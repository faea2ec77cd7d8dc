"""Worked examples of one-node networks with printed digits: what is trained and printed.

A linear neuron is a ReLU that is always active (``linear``), or a unit with negative slope 1. A
parabola in one variable is then a neuron w x on one sample; one in two variables is w x + b on -s
and s, with curvatures s^2 and 1. Rates are ours, for the mean of residual^2/2: a text without the
1/2 takes steps twice as large at its rate, and one that sums n samples takes steps n times as
large.
"""

import math
from dataclasses import replace

import relulab as rl
from publications.claims import LINEAR, SLOPE, Printed, after, linear

SINGLE = 2e-6  # for a program in float32, or one whose start is printed with six decimals


BUTLER = Printed(
    name="Butler",
    source="Butler, One Node Back Propagation ReLU (john-s-butler-dit/NM_ML_DE_source)",
    setting="x = 1, target 3, from w, b, v, c = 0.5, 0.2, 0.3, 0.1, rate 0.01, ten updates",
    data=rl.TrainingSet.point(1, 3),
    start=rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1),
    rate=0.01,
    numbers={
        "loss": after(0, "3.6180 3.4974 3.3776 3.2585 3.1402 3.0228 2.9061 2.7904 2.6757 2.5620"),
        "prediction": after(0, "0.31 0.36 0.40 0.45 0.49 0.54 0.59 0.64 0.69 0.74"),
        "w": after(
            1,
            "0.50807 0.5165023300230795 0.5252811993729141 0.5343902995969806 "
            "0.5438127352962644 0.553530966017995 0.5635267600341148 0.5737811608423549 "
            "0.58427446722317 0.5949862276409392",
        ),
        "b": after(1, "0.2081 0.2165 0.2253 0.2344 0.2438 0.2535 0.2635 0.2738 0.2843 0.2950"),
        "v": after(1, "0.32 0.34 0.36 0.38 0.40 0.41 0.43 0.45 0.47 0.49"),
    },
)
TRASK = "Trask, Grokking Deep Learning, chapter 4 (notebook in iamtrask/Grokking-Deep-Learning)"
EXPLODING = Printed(
    name="Trask 2019, x = 2",
    source=TRASK,
    setting="prediction w x, x = 2, goal 0.8, w = 0.5, no rate: the error explodes",
    data=rl.TrainingSet([2], [0.8]),
    start=rl.Networks(w=0.5, b=0, v=1, c=0),
    rate=1,
    freeze=SLOPE,
    numbers={
        "prediction": after(
            0,
            "1.0 0.20000000000000018 2.5999999999999996 -4.599999999999999 16.999999999999996",
        ),
    },
    why="Trask's neuron is linear; the ReLU dies in the third step, where w x becomes -4.6",
)
NG = "Ng, Machine Learning Specialization, course 1, lab on gradient descent"
LOEBER = Printed(
    name="Loeber",
    source="Loeber, PyTorch tutorial 05, run in Einsbert-jnr/Python-Machine-Learning-Deep-Learning",
    setting="prediction w x on x = 1 ... 4, target 2x, w = 0, sums of gradients, rate 0.01",
    data=rl.TrainingSet([1, 2, 3, 4], [2, 4, 6, 8]),
    start=linear(w=0, b=0, offset=1),
    rate=2 * 4 * 0.01,
    freeze=SLOPE,
    rounding=SINGLE,
    numbers={
        "w": after(1, "1.200 1.680 1.872 1.949 1.980 1.992 1.997 1.999 1.999 2.000"),
        "2 * loss": after(1, "4.79999924 0.76800019"),
    },
)
TENSORFLOW = Printed(
    name="TensorFlow 2017",
    source="tensorflow.org, Getting Started (2017), the complete program",
    setting="w x + b on x = 1 ... 4, target 1 - x, from 0.3, -0.3, sum of squares, rate 0.01",
    data=rl.TrainingSet([1, 2, 3, 4], [0, -1, -2, -3]),
    start=linear(w=0.3, b=-0.3, offset=8),
    rate=2 * 4 * 0.01,
    freeze=LINEAR,
    rounding=SINGLE,
    numbers={
        "w": {1000: "-0.9999969"},
        "b + c": {1000: "0.99999082"},
        "8 * loss": {0: "23.66"},
    },
)
D2L = Printed(
    name="d2l, rate 0.6",
    source="Zhang et al., Dive into Deep Learning, section on momentum",
    setting="0.1 x1^2 + 2 x2^2 from -5, -2, rate 0.6, 20 updates: it diverges",
    # 4 times (0.05 w^2 + b^2)/2
    data=rl.TrainingSet([-math.sqrt(0.05), math.sqrt(0.05)], [0, 0]),
    start=rl.Networks(w=-5, b=-2, v=1, c=0),
    rate=4 * 0.6,
    freeze=LINEAR,
    negative_slope=1,
    numbers={"w": {20: "-0.387814"}, "b": {20: "-1673.365109"}},
)
KERAS = Printed(
    name="Keras, momentum",
    source="TensorFlow, documentation of tf.keras.optimizers.SGD",
    setting="w^2/2 from 1, rate 0.1, momentum 0.9: the first two steps",
    data=rl.TrainingSet([1], [0]),
    start=rl.Networks(w=1, b=0, v=1, c=0),
    rate=0.1,
    freeze=SLOPE,
    negative_slope=1,
    optimizer=rl.SGD(momentum=0.9),
    numbers={"1 - w": {1: "0.1"}, "w.shift() - w": {2: "0.18"}},
)
BROWNLEE = Printed(
    name="Brownlee 2021, momentum",
    source="Brownlee, Gradient Descent With Momentum from Scratch (machinelearningmastery.com)",
    setting="w^2 from NumPy's first number of seed 4, rate 0.1, momentum 0.3, 30 updates",
    data=rl.TrainingSet([1], [0]),
    start=rl.Networks(w=0.9340596780273533, b=0, v=1, c=0),
    rate=2 * 0.1,
    freeze=SLOPE,
    negative_slope=1,
    optimizer=rl.SGD(momentum=0.3),
    numbers={
        "w": after(
            1,
            "0.74724774 0.54175461 0.37175575 0.24640494 0.15951871 0.1015491 0.0638484 "
            "0.03976851 0.02459084 0.01511937 0.00925406 0.00564365 0.0034318 0.00208188 "
            "0.00126053 0.00076202 0.00046006 0.00027746 0.00016719 0.00010067 6.05804744e-05 "
            "3.64373635e-05 2.19069576e-05 1.31664443e-05 7.91100141e-06 4.75216828e-06 "
            "2.85408468e-06 1.71384267e-06 1.02900153e-06 6.17748881e-07",
        ),
        "2 * loss": after(
            1, "0.55838 0.29350 0.13820 0.06072 0.02545 0.01031 0.00408 0.00158 0.00060 0.00023"
        ),
    },
)

PRINTED = [
    BUTLER,
    replace(
        BUTLER,
        name="Butler, label c",
        setting="the same as Butler, the numbers with the label c",
        numbers={"c": after(1, "0.32 0.34 0.36 0.38 0.40 0.41 0.43 0.45 0.47 0.49")},
        why="the text prints v under the label c",
    ),
    Printed(
        name="Trask 2019, x = 0.5",
        source=TRASK,
        setting="prediction w x, x = 0.5, goal 0.8, w = 0.5, no rate, error residual^2",
        data=rl.TrainingSet([0.5], [0.8]),
        start=rl.Networks(w=0.5, b=0, v=1, c=0),
        rate=1,
        freeze=SLOPE,
        numbers={
            "2 * loss": after(
                0,
                "0.30250000000000005 0.17015625000000004 0.095712890625 0.05383850097656251 "
                "0.03028415679931642 0.0170348381996155 0.00958209648728372 "
                "0.005389929274097089 0.0030318352166796153 0.0017054073093822882 "
                "0.0009592916115275371 0.0005396015314842384 0.000303525861459885 "
                "0.00017073329707118678 9.603747960254256e-05 5.402108227642978e-05 "
                "3.038685878049206e-05 1.7092608064027242e-05 9.614592036015323e-06 "
                "5.408208020258491e-06",
            ),
            "prediction": after(
                0,
                "0.25 0.3875 0.49062500000000003 0.56796875 0.6259765625 0.669482421875 "
                "0.70211181640625 0.7265838623046875 0.7449378967285156 0.7587034225463867 "
                "0.76902756690979 0.7767706751823426 0.7825780063867569 0.7869335047900676 "
                "0.7902001285925507 0.7926500964444131 0.7944875723333098 0.7958656792499823 "
                "0.7968992594374867 0.7976744445781151",
            ),
        },
    ),
    Printed(
        name="Trask 2019, x = 1.1",
        source=TRASK,
        setting="prediction w x, x = 1.1, goal 0.8, w = 0, no rate (linear: a ReLU would not fire)",
        data=rl.TrainingSet([1.1], [0.8]),
        start=linear(w=0, b=0, offset=1),
        rate=1,
        freeze=SLOPE,
        numbers={
            "w": after(0, "0.0 0.8800000000000001 0.6951999999999999 0.734008"),
            "2 * loss": after(
                0,
                "0.6400000000000001 0.02822400000000005 0.0012446784000000064 "
                "5.4890317439999896e-05",
            ),
        },
    ),
    EXPLODING,
    replace(
        EXPLODING,
        name="Trask 2019, x = 2, linear",
        setting="the same as Trask 2019, x = 2, with slope 1",
        negative_slope=1,
        why="",
    ),
    Printed(
        name="Trask 2019, rate 0.1",
        source=TRASK,
        setting="prediction w x, x = 2, goal 0.8, w = 0.5, rate 0.1",
        data=rl.TrainingSet([2], [0.8]),
        start=rl.Networks(w=0.5, b=0, v=1, c=0),
        rate=0.1,
        freeze=SLOPE,
        numbers={
            "2 * loss": {
                0: "0.03999999999999998",
                1: "0.0144",
                2: "0.005183999999999993",
                10: "1.4624633760252567e-06",
                19: "1.485277170987127e-10",
            },
            "prediction": {
                0: "1.0",
                1: "0.92",
                2: "0.872",
                10: "0.8012093235200001",
                19: "0.8000121871948003",
            },
        },
    ),
    Printed(
        name="Kim, PyTorchZeroToAll",
        source="hunkim/PyTorchZeroToAll, notebooks/02_manual_gradient.ipynb",
        setting="prediction w x on (1, 2), (2, 4), (3, 6) one by one, w = 1, rate 0.01, ten epochs",
        data=rl.TrainingSet([1, 2, 3], [2, 4, 6]),
        start=rl.Networks(w=1, b=0, v=1, c=0),
        rate=2 * 0.01,
        freeze=SLOPE,
        batch_size=1,
        numbers={"4 * w": {0: "4.0", 30: "7.804863933862125"}},
    ),
    LOEBER,
    replace(
        LOEBER,
        name="Loeber, late losses",
        setting="the same as Loeber, the loss of residuals that get small",
        numbers={
            "2 * loss": after(
                3, "0.12288000 0.01966083 0.00314574 0.00050331 0.00008053 0.00001288 0.00000206"
            )
        },
        why="the square of differences of float32 numbers, which have few digits left",
    ),
    Printed(
        name="Brownlee 2016",
        source="Brownlee, Master Machine Learning Algorithms (copied in fenago/katacoda-scenarios)",
        setting="w x + b on five points one by one, from 0, rate 0.01, four epochs",
        data=rl.TrainingSet([1, 2, 4, 3, 5], [1, 3, 3, 2, 5]),
        start=linear(w=0, b=0, offset=1),
        rate=0.01,
        freeze=LINEAR,
        batch_size=1,
        numbers={
            "b + c": after(
                1,
                "0.01 0.0397 0.066527 0.08056049 0.118814462 0.123525534 0.14399449 0.154325453 "
                "0.157870664 0.180907617 0.182869825 0.198544452 0.200311686 0.19841101 "
                "0.213549404 0.214081491 0.227265196 0.224586888 0.219858174 0.230897491",
            ),
            "w": after(
                1,
                "0.01 0.0694 0.176708 0.21880847 0.410078328 0.4147894 0.455727313 0.497051164 "
                "0.507686795 0.622871563 0.624833772 0.656183024 0.663251962 0.657549935 "
                "0.733241901 0.733773988 0.760141398 0.749428167 0.735242025 0.79043861",
            ),
        },
        why="two of the 40 numbers are rounded twice: ...66349 to ...6635, and that to ...664",
    ),
    Printed(
        name="Ved 2023",
        source="kishan-ved.github.io, Gradient Descent from Scratch (August 9, 2023)",
        setting="w x + b on (3, 30), (5, 50), from 1, 1, rate 0.01",
        data=rl.TrainingSet([3, 5], [30, 50]),
        start=rl.Networks(w=1, b=1, v=1, c=0),
        rate=0.01,
        freeze=LINEAR,
        numbers={
            "w": after(
                1,
                "2.49 9.339565362904866 9.375373101618957 9.409239384745288 9.441269491530562 "
                "9.471562976553681 9.500213996701634",
                every=100,
            ),
            "b": after(
                1,
                "1.35 2.7976459389680706 2.645962002116952 2.5025021246485672 2.366820414979559 "
                "2.2384951531462525 2.1171274841748158",
                every=100,
            ),
            "loss": after(
                1,
                "439.75810000000007 0.23024051215739977 0.2059507823972854 0.18422355115792033 "
                "0.16478848201589685 0.14740375828400765 0.1318530742588818",
                every=100,
            ),
        },
    ),
    Printed(
        name="Ng 2022",
        source=NG,
        setting="w x + b on (1, 300), (2, 500), from 0, rate 0.01, 10,000 updates",
        data=rl.TrainingSet([1, 2], [300, 500]),
        start=linear(w=0, b=0, offset=1),
        rate=0.01,
        freeze=LINEAR,
        numbers={
            "w": after(1, "6.500e+00 1.949e+02 1.975e+02 1.988e+02", every=1000)
            | {10_000: "199.9929"},
            "b + c": after(
                1,
                "4.00000e+00 1.08228e+02 1.03966e+02 1.01912e+02 1.00922e+02 1.00444e+02 "
                "1.00214e+02 1.00103e+02 1.00050e+02 1.00024e+02",
                every=1000,
            )
            | {10_000: "100.0116"},
            "loss": after(
                1,
                "7.93e+04 3.41e+00 7.93e-01 1.84e-01 4.28e-02 9.95e-03 2.31e-03 5.37e-04 "
                "1.25e-04 2.90e-05",
                every=1000,
            ),
        },
    ),
    Printed(
        name="Ng 2022, rate 0.8",
        source=NG,
        setting="the same as Ng 2022 at rate 0.8: it diverges (its ReLU is always active)",
        data=rl.TrainingSet([1, 2], [300, 500]),
        start=linear(w=0, b=0, offset=2.0**18),
        rate=0.8,
        freeze=LINEAR,
        numbers={
            "w": after(
                1,
                "5.200e+02 -3.840e+02 1.192e+03 -1.551e+03 3.228e+03 -5.095e+03 9.402e+03 "
                "-1.584e+04 2.813e+04 -4.845e+04",
            ),
            "b + c": after(
                1,
                "3.20000e+02 -2.40000e+02 7.32800e+02 -9.63840e+02 1.98886e+03 -3.15579e+03 "
                "5.80237e+03 -9.80139e+03 1.73730e+04 -2.99567e+04",
            ),
            "loss": after(
                1,
                "2.58e+05 7.82e+05 2.37e+06 7.19e+06 2.18e+07 6.62e+07 2.01e+08 6.09e+08 "
                "1.85e+09 5.60e+09",
            ),
        },
    ),
    TENSORFLOW,
    replace(
        TENSORFLOW,
        name="TensorFlow 2017, last loss",
        setting="the same as TensorFlow 2017, the loss after 1,000 updates",
        numbers={"8 * loss": {1000: "5.69997e-11"}},
        why="computed in float32 from w and b with errors of 1e-7, so 1e-11 keeps one digit",
    ),
    Printed(
        name="oberak",
        source="oberak/ai, Simple Linear Regression with TensorFlow 2.3",
        setting="w x + b on x = 1 ... 4, target 2x, from -1.068763, 1.279995, rate 0.01",
        data=rl.TrainingSet([1, 2, 3, 4], [2, 4, 6, 8]),
        start=linear(w=-1.068763, b=1.279995, offset=8),
        rate=2 * 0.01,
        freeze=LINEAR,
        rounding=SINGLE,
        numbers={
            "w": after(1, "-0.672448 1.712707 1.883139 1.952465", every=300),
            "b + c": after(1, "1.407833 0.844676 0.343586 0.139759", every=300),
            "2 * loss": after(1, "36.735027 0.119160 0.019716 0.003262", every=300),
        },
    ),
    Printed(
        name="cross-entropy.net",
        source="cross-entropy.net, ML530, Question 1",
        setting="prediction w x, x = -0.05, target -0.05, w = 0.9, rate 0.1, one update",
        data=rl.TrainingSet([-0.05], [-0.05]),
        start=linear(w=0.9, b=0, offset=1),
        rate=2 * 0.1,
        freeze=SLOPE,
        numbers={"w": {1: "0.90005"}, "2 * loss": {0: "0.000025", 1: "0.00002497500625"}},
    ),
    Printed(
        name="HeitorKun, a dead unit",
        source="HeitorKun/TCC-exploration, a ReLU neuron in NumPy",
        setting="relu(w x + b), x = 1, target 0.5, w = 0.5, b = -1, rate 0.1: nothing moves",
        data=rl.TrainingSet([1], [0.5]),
        start=rl.Networks(w=0.5, b=-1, v=1, c=0),
        rate=2 * 0.1,
        freeze=LINEAR,
        numbers={"2 * loss": {0: "0.25"}, "w": {1: "0.5"}, "b": {1: "-1.0"}},
    ),
    Printed(
        name="littlebitai.org",
        source="littlebitai.org, Gradient Descent Example with Simple Python, its table",
        setting="prediction w x on x = 1 ... 4, target 2x, w = 0, rate 0.01, mean gradient",
        data=rl.TrainingSet([1, 2, 3, 4], [2, 4, 6, 8]),
        start=linear(w=0, b=0, offset=1),
        rate=2 * 0.01,
        freeze=SLOPE,
        numbers={"w": {1: "0.56", 5: "1.85", 10: "1.98"}, "8 * loss": {0: "120.00", 4: "4.00"}},
        why="the page calls its table conceptual; its own program gives w = 0.30 after one update",
    ),
    D2L,
    replace(
        D2L,
        name="d2l, momentum 0.5",
        setting="the same as d2l, rate 0.6, with momentum 0.5: it converges",
        optimizer=rl.SGD(momentum=0.5),
        numbers={"w": {20: "0.007188"}, "b": {20: "0.002553"}},
    ),
    replace(
        D2L,
        name="d2l, momentum 0.25",
        setting="the same as d2l, rate 0.6, with momentum 0.25",
        optimizer=rl.SGD(momentum=0.25),
        numbers={"w": {20: "-0.126340"}, "b": {20: "-0.186632"}},
    ),
    Printed(
        name="Saida, momentum",
        source="University of Saida, Momentum Gradient Descent (e-learning.univ-saida.dz)",
        setting="(w - 4)^2 from 10, rate 0.2, momentum 0.9, by hand: it overshoots",
        data=rl.TrainingSet([1], [4]),
        start=rl.Networks(w=10, b=0, v=1, c=0),
        rate=2 * 0.2,
        freeze=SLOPE,
        negative_slope=1,
        optimizer=rl.SGD(momentum=0.9),
        numbers={"w": after(0, "10.00 7.60 4.00 0.76 -0.86"), "2 * loss": after(0, "36.00 12.96")},
    ),
    Printed(
        name="mrzResearchArena",
        source="mrzResearchArena/Intro-Deep, SimpleMomentumGD.ipynb",
        setting="w^2 - 6w + 1971 from 10, rate 0.01, velocity 0.9 V + 0.1 gradient",
        data=rl.TrainingSet([1], [3]),
        start=rl.Networks(w=10, b=0, v=1, c=0),
        rate=2 * 0.1 * 0.01,
        freeze=SLOPE,
        negative_slope=1,
        optimizer=rl.SGD(momentum=0.9),
        numbers={
            "w": after(
                0,
                "10.0000 9.9860 9.9594 9.9216 9.8737 9.8168 9.7520 9.6802 9.6022 9.5188 9.4307 "
                "9.3386",
            ),
            "2 * loss + 1962": after(
                0,
                "2011.0000 2010.8042 2010.4336 2009.9085 2009.2478 2008.4694 2007.5902 2006.6254 "
                "2005.5893 2004.4950 2003.3541 2002.1773",
            ),
        },
    ),
    KERAS,
    BROWNLEE,
    replace(
        BROWNLEE,
        name="Brownlee 2021, Nesterov",
        source="Brownlee, Gradient Descent With Nesterov Momentum from Scratch, in translation",
        # Our states are where its gradients are taken; it prints a plain step from there.
        setting="x^2 + y^2 from NumPy's first two of seed 1, rate 0.1, Nesterov momentum 0.3",
        data=rl.TrainingSet([-1, 1], [0, 0]),
        start=rl.Networks(w=-0.165955990594852, b=0.4406489868843162, v=1, c=0),
        freeze=LINEAR,
        optimizer=rl.SGD(momentum=0.3, nesterov=True),
        numbers={
            "(1 - 0.2) * w": after(
                0,
                "-0.13276479 -0.09824595 -0.07031223 -0.0495457 -0.03465259 -0.02414772 "
                "-0.01679701 -0.01167344 -0.00810909 -0.00563183",
            )
            | {29: "-3.82285090e-06"},
            "(1 - 0.2) * b": after(
                0,
                "0.35251919 0.2608642 0.18669416 0.13155452 0.0920101 0.06411742 0.04459969 "
                "0.0309955 0.02153139 0.01495373",
            )
            | {29: "1.01504945e-05"},
        },
    ),
    replace(
        BROWNLEE,
        name="Brownlee 2021, Adam",
        source="Brownlee, Code Adam Optimization Algorithm from Scratch, in translation",
        setting="x^2 + y^2 from NumPy's first two of seed 1, Adam at rate 0.02, beta 0.8, 0.999",
        data=rl.TrainingSet([-1, 1], [0, 0]),
        start=rl.Networks(w=-0.165955990594852, b=0.4406489868843162, v=1, c=0),
        rate=0.02,
        freeze=LINEAR,
        # For half the gradients.
        optimizer=rl.Adam(beta1=0.8, epsilon=1e-8 / 2),
        numbers={
            "w": after(
                51,
                "-0.00056912 -0.00052452 -0.00043908 -0.0003283 -0.00020731 -8.95352320e-05 "
                "1.43050285e-05 9.67123406e-05 0.00015359 0.00018407",
            ),
            "b": after(
                51,
                "-0.00321961 -0.00286514 -0.00251304 -0.00217044 -0.00184302 -1.53514076e-03 "
                "-1.25002847e-03 -9.89850279e-04 -0.00075587 -0.00054858",
            ),
        },
    ),
    replace(
        D2L,
        name="tienhyu, Adam",
        source="tienhyu/AIO-Exercise-Module-05, Week_04/4d_Adam.ipynb",
        setting="0.1 x1^2 + 2 x2^2 from -5, -2, Adam at rate 0.2, epsilon 1e-6, 30 updates",
        rate=0.2,
        # For a quarter of the gradients.
        optimizer=rl.Adam(epsilon=1e-6 / 4),
        numbers={
            "w": after(
                1,
                "-4.8000002 -4.60025478 -4.40094848 -4.20227764 -4.00445033 -3.80768638 "
                "-3.61221732 -3.41828623 -3.22614739 -3.03606592 -2.84831706 -2.66318543 -2.480964 "
                "-2.30195279 -2.12645742 -1.95478732 -1.7872537 -1.62416726 -1.46583566 "
                "-1.31256067 -1.16463526 -1.02234036 -0.88594163 -0.75568617 -0.63179919 "
                "-0.51448089 -0.40390346 -0.30020842 -0.20350426 -0.11386457",
            ),
            "b": after(
                1,
                "-1.80000002 -1.60082451 -1.40317262 -1.20787822 -1.01592745 -0.82847307 "
                "-0.64684159 -0.47252765 -0.30716934 -0.15249855 -0.01026326 0.11787552 0.23046161 "
                "0.3263587 0.40484195 0.46564961 0.50898799 0.53549442 0.54617144 0.54230812 "
                "0.52540206 0.4970906 0.4590951 0.41317781 0.3611089 0.30464048 0.24548409 "
                "0.18528918 0.12562074 0.06793529",
            ),
        },
    ),
    replace(
        KERAS,
        name="Keras, Adam",
        source="TensorFlow, documentation of tf.keras.optimizers.Adam",
        setting="w^2/2 from 10, rate 0.1, epsilon 1e-7: the first step",
        start=rl.Networks(w=10, b=0, v=1, c=0),
        optimizer=rl.Adam(epsilon=1e-7),
        numbers={"w": {1: "9.9"}},
    ),
    Printed(
        name="scikit-learn, Ridge",
        source="scikit-learn, User Guide, section on ridge regression",
        setting="two equal features 0, 0, 1, targets 0, 0.1, 1, alpha 0.5: coefficient, intercept",
        # One feature sqrt(2) times as large; alpha applies to the sum of squares, not to the mean.
        data=rl.TrainingSet([0, 0, math.sqrt(2)], [0, 0.1, 1]),
        start=rl.Networks(w=0, b=0, v=1, c=0),
        rate=0.5,
        freeze=LINEAR,
        negative_slope=1,
        optimizer=rl.SGD(weight_decay={"w": 0.5 / 3}),
        numbers={"w / sqrt(2)": {1000: "0.34545455"}, "b": {1000: "0.13636"}},
    ),
    Printed(
        name="Aman AI Lab, clipping",
        source="amanailab.com, Code Lab, Gradient Clipping",
        setting="the gradient (3, 4) clipped to norm 2",
        data=rl.TrainingSet([0.75], [-2.25]),
        start=rl.Networks(w=1, b=1, v=1, c=0),
        rate=1,
        freeze=LINEAR,
        optimizer=rl.SGD(max_norm=2),
        rounding=1e-6,  # what PyTorch adds to the norm
        numbers={"1 - w": {1: "1.2"}, "1 - b": {1: "1.6"}},
    ),
]
