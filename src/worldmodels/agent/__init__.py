"""V, M and C of one task together: loaded, saved, played, and as Gymnasium environments."""
