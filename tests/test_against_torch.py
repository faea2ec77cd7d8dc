"""PyTorch as a judge that nobody here wrote: the same steps, to rounding."""

import numpy as np
import pytest

import relulab as rl

torch = pytest.importorskip("torch", reason="PyTorch (extra peers) is missing")

pytestmark = pytest.mark.slow  # asks nothing of the libraries that bounds are given for

N_NETS = 150
DATA = {
    "one sample": rl.TrainingSet.point(1.0, 3.0),
    "several": rl.TrainingSet([-2.0, 1.0, 2.0, 0.5, 0.0], [1.0, -1.0, 3.0, 0.25, 0.1]),
}

# Options of relulab, each with the rates of the hidden and of the output layer.
SETTINGS = {
    "plain": ({}, 0.1, 0.05),
    "leaky": ({"negative_slope": 0.01}, 0.05, 0.1),
    "linear": ({"negative_slope": 1.0}, 0.1, 0.1),
    "momentum": ({"optimizer": rl.SGD(momentum=0.9)}, 0.01, 0.02),
    "nesterov": ({"optimizer": rl.SGD(momentum=0.8, nesterov=True)}, 0.02, 0.02),
    "decay": ({"optimizer": rl.SGD(weight_decay=0.3)}, 0.1, 0.1),
    "decay of some": (
        {"optimizer": rl.SGD(momentum=0.5, weight_decay={"w": 0.3, "v": 0.1})}, 0.05, 0.03,
    ),
    "clipping": ({"optimizer": rl.SGD(max_norm=0.7)}, 0.1, 0.1),
    "all of SGD": (
        {
            "negative_slope": 0.3,
            "optimizer": rl.SGD(momentum=0.7, nesterov=True, weight_decay=0.1, max_norm=2.0),
        },
        0.03,
        0.05,
    ),
    "Adam": ({"optimizer": rl.Adam()}, 0.01, 0.03),
    "all of Adam": (
        {
            "negative_slope": 0.1,
            "optimizer": rl.Adam(beta1=0.5, beta2=0.9, epsilon=1e-3, weight_decay=0.1),
        },
        0.03,
        0.02,
    ),
    "Adam, decay of some": (
        {"optimizer": rl.Adam(beta1=0.0, epsilon=0.1, weight_decay={"b": 0.3, "c": 0.1})},
        0.01, 0.01,
    ),
    "c frozen": ({"freeze": ("c",), "optimizer": rl.SGD(momentum=0.5, max_norm=0.5)}, 0.1, 0.1),
    "w and v frozen": ({"freeze": ("w", "v"), "optimizer": rl.Adam(weight_decay=0.2)}, 0.1, 0.1),
}  # fmt: skip


def starts():
    """Return networks, some of them with a pre-activation of exactly 0 somewhere."""
    w, b, v, c = np.random.default_rng(0).standard_normal((4, N_NETS))
    b[:10] = -w[:10]
    b[10:20] = -2 * w[10:20]
    w[20:25], b[20:25] = 0.0, 0.0
    return rl.Networks(w, b, v, c)


def torch_optimizer(parameters, settings, hidden, output):
    """Return PyTorch's optimizer for the parameters (name to tensor) that train."""
    ours = settings.get("optimizer", rl.SGD())
    decay = ours.weight_decay
    groups = [
        {
            "params": [parameter],
            "lr": hidden if name in "wb" else output,
            "weight_decay": decay.get(name, 0.0) if isinstance(decay, dict) else decay,
        }
        for name, parameter in parameters.items()
        if name not in settings.get("freeze", ())
    ]
    if isinstance(ours, rl.Adam):
        betas = ours.beta1, ours.beta2
        return torch.optim.Adam(groups, betas=betas, eps=ours.epsilon)
    return torch.optim.SGD(groups, momentum=ours.momentum, nesterov=ours.nesterov)


def by_torch(networks, data, settings, hidden, output, n_steps):
    """Return the parameters of networks before each step, shape (n_steps + 1, 4, n_nets).

    All of them step together, since each step is made element by element; but for clipping, for
    which each network is trained alone.
    """
    clip = getattr(settings.get("optimizer"), "max_norm", None)
    if clip is not None and len(networks) > 1:
        alone = [rl.Networks(*networks.stack()[:, [i]]) for i in range(len(networks))]
        runs = [by_torch(one, data, settings, hidden, output, n_steps) for one in alone]
        return np.concatenate(runs, axis=2)
    w, b, v, c = (torch.tensor(row, requires_grad=True) for row in networks.stack())
    for name, parameter in zip("wbvc", (w, b, v, c), strict=True):
        parameter.requires_grad_(name not in settings.get("freeze", ()))
    optimizer = torch_optimizer(dict(w=w, b=b, v=v, c=c), settings, hidden, output)
    x, target = torch.tensor(data.x), torch.tensor(data.target)
    states = []
    for _ in range(n_steps + 1):
        states.append(np.stack([p.detach().numpy().copy() for p in (w, b, v, c)]))
        pre = w[:, None] * x + b[:, None]
        h = torch.nn.functional.leaky_relu(pre, settings.get("negative_slope", 0.0))
        loss = 0.5 * ((v[:, None] * h + c[:, None] - target) ** 2).mean(dim=1)
        optimizer.zero_grad()
        loss.sum().backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([p for p in (w, b, v, c) if p.requires_grad], clip)
        optimizer.step()
    return np.stack(states)


@pytest.mark.parametrize("samples", DATA)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_steps_of_pytorch(name, samples):
    settings, hidden, output = SETTINGS[name]
    networks, data, n_steps = starts(), DATA[samples], 50
    if getattr(settings.get("optimizer"), "max_norm", None):  # one by one, which takes its time
        networks = rl.Networks(*networks.stack()[:, ::6])
    theirs = by_torch(networks, data, settings, hidden, output, n_steps)
    history = rl.trace(
        networks, data, n_steps=n_steps, hidden_learning_rate=hidden, output_learning_rate=output,
        **settings,
    )  # fmt: skip
    ours = np.stack([history[p].to_numpy().reshape(-1, n_steps + 1).T for p in "wbvc"], axis=1)
    sizes = np.maximum(1, np.abs(theirs).max(axis=(0, 1)))
    off = np.abs(ours - theirs).max(axis=(0, 1)) / sizes
    assert (off <= 1e-12).all(), (off.max(), off.argmax())
    # Units were active, inactive, and at a kink.
    pre = theirs[:, 0, :, None] * data.x + theirs[:, 1, :, None]
    assert (pre > 0).any()
    assert (pre < 0).any()
    assert (pre[0] == 0).sum() >= 3


@pytest.mark.parametrize("negative_slope", [0.0, 0.01, 0.3, 1.0])
def test_predictions_and_gradients(negative_slope):
    networks, data = starts(), DATA["several"]
    w, b, v, c = parameters = [torch.tensor(p, requires_grad=True) for p in networks.stack()]
    pre = w[:, None] * torch.tensor(data.x) + b[:, None]
    h = torch.nn.functional.leaky_relu(pre, negative_slope)
    prediction = v[:, None] * h + c[:, None]
    (0.5 * ((prediction - torch.tensor(data.target)) ** 2).mean(dim=1)).sum().backward()
    theirs = np.stack([p.grad.numpy() for p in parameters])
    options = {"negative_slope": negative_slope}
    ours = networks.gradients(data.x, data.target, **options)
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(
        networks.predict(data.x, **options), prediction.detach().numpy(), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("name", ["all of SGD", "all of Adam"])
def test_batches_in_the_order_of_the_data(name):
    """A step on each sample in turn, as a DataLoader gives them that does not shuffle."""
    settings, hidden, output = SETTINGS[name]
    data, n_nets, n_epochs = DATA["several"], 20, 6
    networks = rl.Networks(*starts().stack()[:, 30 : 30 + n_nets])
    history = rl.trace(
        networks, data, n_steps=n_epochs * data.n_samples, batch_size=1,
        hidden_learning_rate=hidden, output_learning_rate=output, **settings,
    )  # fmt: skip
    last = history[history["step"] == n_epochs * data.n_samples]
    for i in range(n_nets):
        parameters = {p: torch.tensor(getattr(networks, p)[i], requires_grad=True) for p in "wbvc"}
        w, b, v, c = parameters.values()
        optimizer = torch_optimizer(parameters, settings, hidden, output)
        for _ in range(n_epochs):
            for x, target in zip(data.x, data.target, strict=True):
                h = torch.nn.functional.leaky_relu(w * x + b, settings["negative_slope"])
                optimizer.zero_grad()
                (0.5 * (v * h + c - target) ** 2).backward()
                clip = getattr(settings["optimizer"], "max_norm", None)
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip)
                optimizer.step()
        theirs = [p.item() for p in parameters.values()]
        np.testing.assert_allclose(last[list("wbvc")].iloc[i], theirs, rtol=1e-12, atol=1e-12)
