"""Episodes, latents and the order in which they are read."""
