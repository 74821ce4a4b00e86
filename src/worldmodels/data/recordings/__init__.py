"""Recordings made elsewhere: Minari datasets, .npz files and videos become episodes, and episodes become Minari datasets."""
