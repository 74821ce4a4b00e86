"""What the tasks of ViZDoom share: a game's process and how it ends."""
