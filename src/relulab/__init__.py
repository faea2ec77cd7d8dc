"""relulab: what gradient descent does to a one-node ReLU network, from every start.

The network is y = v*relu(w*x + b) + c, and the loss is the mean of 0.5*(y - target)**2.

Train networks

- ``train``: train many networks at once, and label where each of them ends.
- ``trace``: the history of networks, step by step.
- ``Sweep``: a grid of starts and learning rates, trained lazily, up to billions of runs.
- ``Networks``: the parameters w, b, v, c of many networks.
- ``SGD``, ``Adam``: the optimizers: momentum, weight decay, clipping.
- ``Trained``: the result of ``train``.
- ``TrainingSet``: the samples: a point, a function, two columns of a table or of a CSV file.
- ``Scale``: the units of a training set.
- ``Outcome``: how training ended: converged, diverged, oscillating, unfinished, unstable.
- ``Unit``: what became of the unit: alive, born_dead, died.
- ``InputError``: the error raised for a wrong argument.

Draw starts at random

- ``Normal``, ``Uniform``, ``LogUniform``: distributions of one parameter.
- ``geomspace``: the values of an axis, in equal ratios, with the same bits on every processor.
- ``scheme``: a named initialization scheme; ``SCHEMES`` holds all of them, of type ``Scheme``.
- ``he_normal``, ``he_uniform``, ``glorot_normal``, ``glorot_uniform``, ``lecun_normal``,
  ``torch_default``, ``standard_normal``: the schemes.

Look at runs

- ``explore``: an interactive map of fates, trained as you drag, zoom and click.
- ``statistics``: rates with intervals, survival, steps to converge.
- ``relabel``: the outcomes under another gradient tolerance.
- ``boundary``: how ragged the boundaries between fates are, and how far away.
- ``tables``: tables as text, Markdown, CSV.
- ``figures``: tables as figures.

Compare with theory

- ``theory``: closed forms.
- ``best_fit``: the network with the smallest loss, as a ``BestFit``.
- ``broken_stick``: the best fit in your units, with standard errors, as a ``BrokenStick``.
- ``sharpness``: the largest eigenvalue of the Hessian of the loss.

Run experiments

- ``Experiment``: one question, the sweeps that answer it, and how to show the answer.
- ``main``: an experiment's command line.
- ``Results``: the results folder of an experiment.
- ``Report``: what an experiment's report yields.
"""

import lazy_loader

# Names are imported on first use: ``import relulab`` is light, and drawing figures from files loads
# no engine. __init__.pyi lists the names and their modules.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.3.0"
