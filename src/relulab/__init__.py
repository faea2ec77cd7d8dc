"""relulab: what gradient descent does to a one-node ReLU network, from every start.

The network is y = v*relu(w*x + b) + c, and the loss is the mean of 0.5*(y - target)**2.

Train networks

- ``train``: train many networks at once, and label where each of them ends.
- ``trace``: the history of networks, step by step.
- ``Sweep``: the runs of a grid of starts and learning rates, made lazily, up to billions.
- ``Networks``: the parameters w, b, v, c of many networks.
- ``SGD``, ``Adam``: the optimizers, with momentum, weight decay, clipping.
- ``Trained``: what ``train`` returns.
- ``TrainingSet``: the samples: a point, a function, two columns of a table or of a CSV file.
- ``Scale``: the units of a training set.
- ``Outcome``: how training ended: converged, diverged, oscillating, unfinished, unstable.
- ``Unit``: what became of the unit: alive, born_dead, died.
- ``InputError``: what is raised where an argument is wrong.

Draw starts at random

- ``Normal``, ``Uniform``, ``LogUniform``: distributions of one parameter.
- ``scheme``: a named initialization scheme; ``SCHEMES`` has all of them, ``Scheme`` is their type.
- ``he_normal``, ``he_uniform``, ``glorot_normal``, ``glorot_uniform``, ``lecun_normal``,
  ``torch_default``, ``standard_normal``: the schemes.

Look at runs

- ``explore``: a map of fates to walk in, which trains while one drags, zooms and clicks.
- ``statistics``: rates with intervals, survival, steps to converge.
- ``relabel``: the outcomes under another gradient tolerance.
- ``boundary``: how ragged the borders between fates are, and how far away.
- ``tables``: tables as text, Markdown, CSV.
- ``figures``: tables as figures.

Compare with theory

- ``theory``: closed forms.
- ``best_fit``: the network of the smallest loss, a ``BestFit``.
- ``broken_stick``: the same in the user's units, with standard errors, a ``BrokenStick``.
- ``sharpness``: the largest eigenvalue of the Hessian of the loss.

Run experiments

- ``Experiment``: one question, the sweeps that answer it, how the answer is shown.
- ``main``: an experiment's command line.
- ``Results``: the results folder of an experiment, to read.
- ``Report``: what an experiment's report yields.
"""

import lazy_loader

# Names are imported when first used, so that figures are drawn from files without loading an
# engine, and ``import relulab`` is light. __init__.pyi says which there are and where they live.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
