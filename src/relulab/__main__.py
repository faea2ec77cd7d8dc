"""``python -m relulab``: the experiments that there are, and their command lines."""
