"""What everything stands on: errors, types, files, tensors on disk, logs, seeds, versions."""
