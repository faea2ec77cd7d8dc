"""The updates of the optimizers: the fifth part of the specification.

The formulas and defaults are those of torch.optim.SGD (dampening 0), of torch.optim.Adam and, for
``max_norm``, of torch.nn.utils.clip_grad_norm_. Here g are the gradients of the loss by w, b, v, c,
p the parameters; what does not train is left alone. In the order of operations below, in the
networks' dtype, with exactly rounded square roots and divisions::

    SGD     norm = sqrt(((gw*gw + gb*gb) + gv*gv) + gc*gc)           where max_norm is given
            g = g * min(max_norm/(norm + 1e-6), 1)                   (a NaN stays one)
            d = g + weight_decay*p
            velocity = momentum*velocity + d                         from 0
            step = velocity,  with nesterov d + momentum*velocity
            p = p - rate*step

    Adam    d = g + weight_decay*p
            m = beta1*m + (1 - beta1)*d                              from 0
            s = beta2*s + (1 - beta2)*(d*d)                          from 0
            power1 = power1*beta1;  power2 = power2*beta2            from 1
            size = (rate/(1 - power1)) / (sqrt(s)/sqrt(1 - power2) + epsilon)
            p = p - size*m

(PyTorch multiplies and divides in another order; the results agree to rounding.)

What the velocity would still move, in units of the gradient, is what all its steps would come to
if d were 0 from now on: for SGD momentum/(1 - momentum)*|velocity|, with nesterov momentum times
that, for Adam beta1/(1 - beta1)*|m|; of the four parameters the largest.

Descent with velocity rests (``stability``) up to another eigenvalue than 2. On a parabola of
curvature q/rate the velocity makes it a recurrence of second order, whose roots are within the
unit circle for 0 < q < edge::

    SGD           z^2 - (1 + momentum - q)*z + momentum              edge = 2*(1 + momentum)
    with nesterov z^2 - (1 + momentum)*(1 - q)*z + momentum*(1 - q)  2*(1 + m)/(1 + 2*m)
    Adam          the first, with q*(1 - beta1) for q                2*(1 + beta1)/(1 - beta1)

The rates of Adam are here the four ``size`` of the coming update. They grow as gradients fade, up
to rate/epsilon, so that a state at which Adam rests now may be left later on; what is judged is
the present. Clipping does not matter where gradients are small, and is not judged.
"""
