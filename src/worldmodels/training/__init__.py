"""The gradient loop that V and M share, its optimiser, and what it trains."""
