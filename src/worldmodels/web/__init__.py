"""The page in a browser: a static site that dreams on by itself, written from a task, a model or a run."""
