"""The two worlds behind one contract, and the one loop that plays in either."""
