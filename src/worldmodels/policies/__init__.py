"""Everything that acts: the controller, random and fixed actions, a noisy agent, and the recorder that listens."""
