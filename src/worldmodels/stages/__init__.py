"""One file a stage, resumable and idempotent: the same command again goes on where it stopped."""
