"""How networks are trained: options, two engines, the specification that both meet to the bit."""
