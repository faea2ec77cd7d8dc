"""How networks are trained: options, and two engines that follow one specification bit for bit."""
