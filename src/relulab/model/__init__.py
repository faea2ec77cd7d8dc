"""What is trained, on what: networks, samples, initial values, and what can become of a network."""
