"""CarRacing, the fast one and the official one side by side."""
