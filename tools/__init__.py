"""What makes the pages, pictures and shipped models of this repository: ``python -m tools.NAME``."""
