"""The objects of training: networks, samples, initial values, and the fates of networks."""
